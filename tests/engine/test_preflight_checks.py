"""The checks that need no trainer, on real files: hostile and damaged models, data, graders, disk."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from app.engine.preflight_checks import Found, Looking
from app.engine.reporting import CannotTrain, Run
from app.protocol import (
    Check,
    EvaluationPlan,
    Grader,
    LocalModel,
    PreflightInputs,
    Python,
    Recipe,
    RewardModelGrader,
    RunSpec,
    StringCheck,
    UploadedDataset,
)
from app.run_dir import Accepted, Inputs, create_run_dir
from tests.engine.conftest import COLOURS, NAMES_THE_COLOUR, grpo_recipe, sft_recipe, write_rows

pytestmark = pytest.mark.engine

Look = Callable[..., Looking]


def row(prompt: str, answer: str) -> dict:
    return {
        "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}],
        "colour": answer,
    }


ROWS = [row(f"item {n}: {colour}?", colour) for n in range(60) for colour in COLOURS]


@pytest.fixture
def model(micro_model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(micro_model, tmp_path / "model")


@pytest.fixture
def look(model: Path, tmp_path: Path) -> Iterator[Look]:
    opened: list[Run] = []

    def make(
        recipe: Recipe | None = None,
        grader: Grader | None = NAMES_THE_COLOUR,
        rows: list[dict] = ROWS,
        inputs: dict | None = None,
        reward_models: dict[str, str] | None = None,
        **more: object,
    ) -> Looking:
        spec = RunSpec(
            name="a test",
            model=LocalModel(name="micro"),
            dataset=UploadedDataset(sha256="0" * 64),
            grader=grader,
            recipe=recipe or sft_recipe(),
            evaluation=EvaluationPlan(items=60, max_completion_length=8),
            **more,
        )
        run_dir = create_run_dir(tmp_path, uuid4(), spec, Accepted(order=1, at=0.0))
        file = write_rows(tmp_path / f"{uuid4()}.jsonl", rows)
        run_dir.write_inputs(
            Inputs(
                model_dir=str(model),
                dataset_file=str(file),
                device="cpu",
                threads=1,
                starter_cache=str(tmp_path),
                reward_models=reward_models or {},
            )
        )
        usual = {
            "run_dir": str(run_dir.path),
            "memory_bytes": 10**10,
            "disk_free_bytes": 10**10,
            "min_free_bytes": 10**9,
        }
        opened.append(Run(run_dir.path))
        return Looking(opened[-1], PreflightInputs(**usual | (inputs or {})), Found())

    yield make
    for run in opened:
        run.bench.close()


HOSTILE = {
    "a module for the model": (
        "config.json",
        {"auto_map": {"AutoModelForCausalLM": "evil.Model"}},
        "`auto_map`",
    ),
    "remote code": ("config.json", {"trust_remote_code": True}, "`trust_remote_code`"),
    "a kernel from elsewhere": (
        "config.json",
        {"_attn_implementation_internal": "someone/kernel"},
        "`_attn_implementation_internal`",
    ),
    "a module for the tokenizer": (
        "tokenizer_config.json",
        {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}},
        "tokenizer_config.json asks for code",
    ),
    "a generation loop": ("generation_config.json", {"custom_generate": "someone/loop"}, "`custom_generate`"),
}


@pytest.mark.parametrize("wish", HOSTILE)
def test_a_model_that_asks_for_code_of_its_own_is_refused(look: Look, model: Path, wish: str):
    name, added, complaint = HOSTILE[wish]
    content = json.loads((model / name).read_text())
    (model / name).write_text(json.dumps(content | added))
    with pytest.raises(CannotTrain, match=complaint):
        look().model()


def test_pickled_and_damaged_weights_are_found_without_reading_them(look: Look, model: Path):
    weights = model / "model.safetensors"
    whole = weights.read_bytes()
    assert "58,848 parameters" in look().model().sentence
    weights.write_bytes(whole[: len(whole) // 2])
    assert "cut short or damaged" in look().model().sentence
    weights.write_bytes(b"\xff" * 100)
    assert "cannot be read as safetensors" in look().model().sentence
    weights.write_bytes(whole)
    (model / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "part-2.safetensors"}})
    )
    assert "lacks part-2.safetensors" in look().model().sentence
    weights.rename(model / "pytorch_model.bin")
    with pytest.raises(CannotTrain, match="no safetensors weights"):
        look().model()


def of_data(looking: Looking) -> dict[str, Check]:
    made = [looking.dataset(), looking.batch(), looking.held_out(), looking.grader()]
    return {check.name.value: check for check in made}


def test_enough_data_passes_and_little_is_told_with_what_is_usual(look: Look):
    assert [check.result.value for check in of_data(look()).values()][:3] == ["pass", "pass", "pass"]
    few = [row(f"{n} {colour}", colour) for n in range(3) for colour in COLOURS]
    found = of_data(look(rows=few))
    assert found["dataset"].result == "warn"
    assert "50" in found["dataset"].fix
    assert found["batch"].result == "warn"
    assert found["held_out"].result == "warn"
    assert of_data(look(rows=few[:8]))["dataset"].result == "fail"
    assert of_data(look(grpo_recipe(steps=40), rows=few))["dataset"].result == "warn"


def test_a_held_out_row_that_is_also_learned_from_is_found(look: Look):
    twice = [row(f"item {n}:  {colour.upper()}?", colour) for n in range(60) for colour in COLOURS]
    found = of_data(look(rows=[*ROWS, *twice]))["held_out"]
    assert found.result == "fail"
    assert "also among the training rows" in found.sentence


def test_held_out_texts_are_compared_as_texts(look: Look):
    texts = [{"text": f"Page {n} tells of {colour} things."} for n in range(60) for colour in COLOURS]
    found = of_data(look(grader=None, rows=texts))["held_out"]
    assert found.result == "pass", found.sentence
    assert found.figures == {"held_out": 60, "leaks": 0}
    twice = [{"text": each["text"].upper() + " "} for each in texts]
    assert of_data(look(grader=None, rows=[*texts, *twice]))["held_out"].result == "fail"


def test_a_grader_that_dies_pays_for_nothing_or_does_not_know_right_answers_is_told(look: Look):
    dies = Python(name="dies", source="def grade(sample, item):\n    raise ValueError('out of luck')\n")
    dead = of_data(look(grader=dies))["grader"]
    assert dead.result == "fail"
    assert "out of luck" in dead.sentence
    pays_for_all = StringCheck(name="anything", reference="no such answer", operation="ne")
    assert of_data(look(grpo_recipe(), pays_for_all))["grader"].result == "fail"
    assert of_data(look(grader=pays_for_all))["grader"].result == "warn"
    exact = StringCheck(name="exact", reference="{{ item.colour }}")
    sound = of_data(look(grader=exact))["grader"]
    assert sound.result == "pass", sound.sentence
    blind = StringCheck(name="blind", reference="no such answer")
    assert of_data(look(grader=blind))["grader"].result == "warn"


def test_disk_reward_models_and_tracking_are_looked_at(look: Look):
    full = look(inputs={"disk_free_bytes": 5 * 10**8})
    assert full.disk().result == "fail"
    assert "500 MB of disk free" in full.disk().sentence
    judge = RewardModelGrader(name="judge", run=uuid4())
    assert look().reward_model().result == "not_applicable"
    assert "left no reward model" in look(independent_graders=[judge]).reward_model().sentence
    there = look(independent_graders=[judge], reward_models={str(judge.run): str(full.run.dir.path)})
    assert there.reward_model().result == "pass"
    assert look().tracking().result == "not_applicable"
    away = look(inputs={"tracking": ["mlflow"], "tracking_url": "http://127.0.0.1:9"}).tracking()
    assert away.result == "warn"
    assert "cannot be reached" in away.sentence
