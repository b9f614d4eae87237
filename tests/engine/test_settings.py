"""Settings of a recipe reach the trainer as they are meant."""

import pytest

from app.protocol import EvaluationPlan, HubModel
from tests.engine.conftest import NAMES_THE_COLOUR, SAYS_E, grpo_recipe, sft_recipe, write_rows

pytestmark = pytest.mark.engine


def test_fewer_prompts_than_an_update_takes_come_more_than_once(engines, micro_model, tmp_path):
    rows = [{"messages": [{"role": "user", "content": f"{number}?"}], "n": number} for number in range(5)]
    recipe = grpo_recipe(
        batch_size=64,
        micro_batch_size=16,
        num_generations=4,
        steps=2,
        loss_type="dr_grpo",
        scale_rewards="none",
        beta=0.1,
        mask_truncated_completions=True,
        top_p=0.9,
        temperature=0.8,
    )
    ended = engines.run(recipe, micro_model, write_rows(tmp_path / "given.jsonl", rows), SAYS_E)
    assert ended.end.state.value == "succeeded", ended.end
    assert all(kl >= 0 for kl in ended.metrics("kl"))


def test_packed_and_accumulated_demonstrations_train_too(engines, micro_model, demonstrations):
    recipe = sft_recipe(packing=True, batch_size=4, micro_batch_size=2, max_demonstrations=24, epochs=3)
    ended = engines.run(recipe, micro_model, demonstrations, NAMES_THE_COLOUR)
    assert ended.end.state.value == "succeeded", ended.end
    assert ended.metrics("loss")[-1] < ended.metrics("loss")[0]


def test_a_model_from_the_hub_that_cannot_be_reached_is_named(engines, micro_model, demonstrations):
    run_dir = engines.prepare(sft_recipe(), micro_model, demonstrations, NAMES_THE_COLOUR)
    spec = run_dir.spec.model_copy(update={"model": HubModel(id="somebody/something")})
    (run_dir.path / "spec.json").write_text(spec.model_dump_json())
    run_dir.write_inputs(run_dir.inputs.model_copy(update={"model_dir": None}))
    ended = engines.wait(run_dir, engines.start(run_dir))
    assert ended.end.reason == (
        "The model somebody/something could not be fetched: the hub cannot be reached from this worker "
        "and the model is not in its cache."
    )


def test_checkpoints_are_told_and_make_room_for_the_model(engines, micro_model, demonstrations):
    run_dir = engines.prepare(
        sft_recipe(max_demonstrations=48, epochs=1),
        micro_model,
        demonstrations,
        NAMES_THE_COLOUR,
        EvaluationPlan(items=10, max_completion_length=8, checks=0),
    )
    ended = engines.again(run_dir, checkpoint_seconds=0, why="")
    assert ended.end.state.value == "succeeded", ended.end
    assert [checkpoint.step for checkpoint in ended.happenings("checkpoint")] == [1, 2, 3]
    assert run_dir.model_dir.exists()
    assert not run_dir.trainer_dir.exists()
