"""A micro model made on the spot, and engines started as the worker starts them."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from app.protocol import (
    EndEvent,
    EvaluationPlan,
    Grader,
    GrpoRecipe,
    LocalModel,
    Recipe,
    Regex,
    RunSpec,
    SftRecipe,
    UploadedDataset,
)
from app.run_dir import Accepted, Inputs, RunDir, create_run_dir
from app.worker.launchers.local import environment, launch
from tests.engine.nursery import Nursery
from tests.nursery import Born

PATIENCE_SECONDS = 200
"""Until an engine is given up; a passing test never comes near it."""

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

COLOURS = ("red", "green", "blue", "black", "white")

NAMES_THE_COLOUR = Regex(name="colour", pattern=r"(\w+)", match="last", reference="{{ item.colour }}")
SAYS_E = Regex(name="says e", pattern="e", match="any")


@pytest.fixture(scope="session")
def micro_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of random weights over bytes: it knows nothing, and answers at once."""
    folder = tmp_path_factory.mktemp("models") / "micro"
    subprocess.run([sys.executable, "-m", "tests.engine.micro_model", str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def broken_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers like any other, but its weights are so large that its gradients are not finite."""
    folder = tmp_path_factory.mktemp("models") / "broken"
    subprocess.run([sys.executable, "-m", "tests.engine.micro_model", str(folder), "1e30"], check=True)
    return folder


@pytest.fixture(scope="session")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"item {number}: {colour}?"},
                {"role": "assistant", "content": colour},
            ],
            "colour": colour,
        }
        for number in range(20)
        for colour in COLOURS
    ]
    return write_rows(tmp_path_factory.mktemp("rows") / "demonstrations.jsonl", rows)


@pytest.fixture(scope="session")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {"messages": [{"role": "user", "content": f"{number} {colour}"}], "colour": colour}
        for number in range(4)
        for colour in COLOURS
    ]
    return write_rows(tmp_path_factory.mktemp("rows") / "prompts.jsonl", rows)


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sft_recipe(**changes: object) -> SftRecipe:
    given = {
        "learning_rate": 1e-2,
        "batch_size": 16,
        "micro_batch_size": 16,
        "epochs": 2,
        "max_length": 64,
    }
    return SftRecipe(**given | changes)


def grpo_recipe(**changes: object) -> GrpoRecipe:
    given = {
        "learning_rate": 5e-3,
        "batch_size": 32,
        "micro_batch_size": 16,
        "steps": 6,
        "num_generations": 8,
        "max_completion_length": 8,
    }
    return GrpoRecipe(**given | changes)


@dataclass(frozen=True)
class Ended:
    """A run whose engine has ended."""

    dir: RunDir
    exit_status: int

    def happenings(self, kind: str) -> list:
        return [event.what for event in self.dir.events(limit=100_000) if event.what.kind == kind]

    @property
    def end(self) -> EndEvent:
        events = self.dir.events(limit=100_000)
        assert events, self.dir.log_tail()
        assert isinstance(events[-1].what, EndEvent), self.dir.log_tail()
        return events[-1].what

    @property
    def states(self) -> list[str]:
        return [state.state.value for state in self.happenings("state")]

    @property
    def steps(self) -> list:
        """What the trainer told of its steps; checks on held-out rows tell theirs apart."""
        return [metric for metric in self.happenings("metric") if "loss" in metric.values]

    def metrics(self, name: str) -> list[float | None]:
        return [metric.values[name] for metric in self.happenings("metric") if name in metric.values]

    def evaluation(self, when: str):
        found = [event.evaluation for event in self.happenings("evaluation")]
        return next(each for each in found if each.when == when and each.task == "main")


class Engines:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._nursery: Nursery | None = None
        self.started: list[subprocess.Popen[bytes] | Born] = []

    def prepare(
        self,
        recipe: Recipe,
        model: Path,
        rows: Path,
        grader: Grader,
        evaluation: EvaluationPlan | None = None,
        **changes: object,
    ) -> RunDir:
        spec = RunSpec(
            name="a test",
            model=LocalModel(name="micro"),
            dataset=UploadedDataset(sha256="0" * 64),
            grader=grader,
            recipe=recipe,
            evaluation=evaluation or EvaluationPlan(items=10, max_completion_length=8),
            **changes,
        )
        run_dir = create_run_dir(self._root, uuid4(), spec, Accepted(order=1, at=0.0))
        run_dir.write_inputs(
            Inputs(
                model_dir=str(model),
                dataset_file=str(rows),
                device="cpu",
                threads=1,
                starter_cache=str(self._root),
            )
        )
        return run_dir

    def start(
        self, run_dir: RunDir, module: str = "app.engine", device: str = "cpu"
    ) -> subprocess.Popen[bytes] | Born:
        lock = run_dir.take_lock()
        assert lock is not None
        process = self._process(run_dir, module, device, lock)
        os.close(lock)
        self.started.append(process)
        return process

    def _process(
        self, run_dir: RunDir, module: str, device: str, lock: int
    ) -> subprocess.Popen[bytes] | Born:
        if module == "app.engine" and device == "cpu":
            self._nursery = self._nursery or Nursery()
            return self._nursery.engine(run_dir, lock)
        process = launch(run_dir, module, lock, environment(1, device, online=False))._process
        assert process is not None
        return process

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        if self._nursery:
            self._nursery.close()

    def run(self, *given: object, **named: object) -> Ended:
        run_dir = self.prepare(*given, **named)
        return self.wait(run_dir, self.start(run_dir))

    def again(self, run_dir: RunDir, **changes: object) -> Ended:
        """The worker starts the same run once more."""
        run_dir.write_inputs(run_dir.inputs.model_copy(update={"why": "a test", **changes}))
        return self.wait(run_dir, self.start(run_dir))

    def until(self, run_dir: RunDir, process: subprocess.Popen[bytes] | Born, kind: str) -> None:
        """Until the engine has said something of this kind."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not any(event.what.kind == kind for event in run_dir.events(limit=100_000)):
            assert process.poll() is None, run_dir.log_tail()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def wait(self, run_dir: RunDir, process: subprocess.Popen[bytes] | Born) -> Ended:
        return Ended(run_dir, process.wait(PATIENCE_SECONDS))


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory):
    engines = Engines(tmp_path_factory.mktemp("runs"))
    yield engines
    engines.close()
