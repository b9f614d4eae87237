"""A remembered evaluation is found again by all that it depends on, and by nothing less."""

import os

import pytest

from app.datasets.formats import Row, Turn
from app.engine.measuring import share
from app.engine.remembered import Memory
from app.protocol import (
    Evaluation,
    JudgeMessage,
    LocalModel,
    Multi,
    Regex,
    RunSpec,
    ScoreModel,
    SftRecipe,
    UploadedDataset,
)

YES = Regex(name="yes", pattern="yes", match="any")
ROWS = [Row(messages=[Turn(role="user", content="May he?")], item={"answer": "yes"})]
FOUND = Evaluation(
    when="before",
    sampled=share("1"),
    greedy=share("1"),
    sampled_outcomes="1",
    greedy_outcomes="1",
    abstained=0,
    errors=0,
    mean_tokens=1.0,
    clipped=0.0,
    samples=[],
    seconds=0.1,
)
SPEC = RunSpec(
    name="a test",
    model=LocalModel(name="micro"),
    dataset=UploadedDataset(sha256="0" * 64),
    grader=YES,
    recipe=SftRecipe(learning_rate=1e-3, batch_size=1, micro_batch_size=1, epochs=1, max_length=32),
)


class Asked:
    """What of a run the memory looks at."""

    def __init__(self, cache, spec=SPEC, device="cpu") -> None:
        self.spec = spec
        self.inputs = type(
            "", (), {"evaluation_cache": str(cache), "device": device, "model_dir": "somewhere"}
        )
        self.dir = type("", (), {"model_dir": "elsewhere"})


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def cache(tmp_path, model):
    Memory(Asked(tmp_path / "cache"), SPEC, model, ROWS).keep(FOUND)
    return tmp_path / "cache"


def recalled(cache, model, spec=SPEC, rows=ROWS, device="cpu") -> Evaluation | None:
    return Memory(Asked(cache, spec, device), spec, model, rows).recall()


def changed(**changes) -> RunSpec:
    return SPEC.model_copy(update=changes)


def test_the_same_measurement_is_remembered_and_says_so(cache, model):
    assert recalled(cache, model) == FOUND.model_copy(update={"is_remembered": True})


def test_what_only_changes_the_training_is_no_other_measurement(cache, model):
    faster = SPEC.recipe.model_copy(update={"learning_rate": 1.0})
    assert recalled(cache, model, changed(recipe=faster, name="another", keep="best"))


@pytest.mark.parametrize(
    "spec",
    [
        changed(seed=1),
        changed(grader=YES.model_copy(update={"pattern": "no"})),
        changed(draft_grader=YES),
        changed(independent_graders=[YES]),
        changed(evaluation=SPEC.evaluation.model_copy(update={"temperature": 0.5})),
        changed(evaluation=SPEC.evaluation.model_copy(update={"max_completion_length": 9})),
    ],
    ids=["seed", "grader", "draft grader", "independent grader", "temperature", "length"],
)
def test_another_grader_sampling_or_seed_is_another_measurement(cache, model, spec):
    assert recalled(cache, model, spec) is None


def test_other_rows_or_another_device_are_another_measurement(cache, model):
    assert recalled(cache, model, rows=ROWS * 2) is None
    assert recalled(cache, model, device="cuda") is None


def test_other_weights_of_the_same_name_and_size_are_another_model(cache, model):
    old = (model / "model.safetensors").stat()
    (model / "model.safetensors").write_bytes(b"changed")
    os.utime(model / "model.safetensors", ns=(old.st_atime_ns, old.st_mtime_ns))
    assert recalled(cache, model) is None


def test_a_copy_of_the_model_elsewhere_is_the_same_model(cache, model, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "README.md").write_text("The card of a model says nothing about its answers.")
    assert recalled(cache, copy)


def test_what_a_judge_said_is_never_remembered(tmp_path, model):
    judge = ScoreModel(name="judge", input=[JudgeMessage(role="user", content="Good?")])
    for grader in (judge, Multi(name="both", graders={"a": YES, "b": judge}, calculate_output="a * b")):
        spec = changed(grader=grader)
        Memory(Asked(tmp_path / "cache", spec), spec, model, ROWS).keep(FOUND)
        assert recalled(tmp_path / "cache", model, spec) is None


def test_without_a_place_or_with_a_torn_file_nothing_is_remembered(cache, model):
    assert recalled("", model) is None
    for file in cache.glob("*.json"):
        file.write_text('{"when": "befo')
    assert recalled(cache, model) is None
