"""SFT on whole texts: nothing is asked and nothing graded, and the held-out loss tells what was learned."""

import json

import pytest

from tests.engine.conftest import COLOURS, NAMES_THE_COLOUR, grpo_recipe, sft_recipe, write_rows

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    rows = [
        {"text": f"{colour} and {other} number {number}"}
        for number in range(4)
        for colour in COLOURS
        for other in COLOURS
    ]
    return write_rows(tmp_path_factory.mktemp("rows") / "texts.jsonl", rows)


def test_texts_are_learned_and_measured_by_their_loss_alone(engines, micro_model, texts):
    ended = engines.run(sft_recipe(epochs=4), micro_model, texts, None)
    assert ended.end.state.value == "succeeded", ended.end
    before, after = ended.evaluation("before"), ended.evaluation("after")
    assert after.loss < before.loss / 2
    assert after.sampled.n == 0
    assert "Held-out loss, in nats a token:" in (ended.dir.model_dir / "README.md").read_text()
    first = (ended.dir.bundle_dir / "train.jsonl").read_text().splitlines()[0]
    assert list(json.loads(first)) == ["text"]


def test_grpo_on_texts_is_refused(engines, micro_model, texts):
    ended = engines.run(grpo_recipe(), micro_model, texts, NAMES_THE_COLOUR)
    assert ended.end.state.value == "failed"
    assert "The dataset has no" in ended.end.reason
