"""A run laid out on disk as an engine would find it, for programs that look at it without training it."""

import uuid
from dataclasses import dataclass
from pathlib import Path

from app.errors import NotFound
from app.graders.parts import reward_model_runs
from app.protocol import RunSpec, RunState
from app.run_dir import Accepted, Inputs, RunDir, create_run_dir
from app.settings import WorkerSettings
from app.worker.data_dir import DataDir
from app.worker.dataset_store import DatasetStore
from app.worker.grading import judge_key_for, judge_of, sandbox_of
from app.worker.launchers.local import environment
from app.worker.model_store import ModelStore
from app.worker.supervisor import Supervisor

THREADS = 1
"""Of each such program: a run in training is not to be slowed by more than one slot's worth."""

STANDS_IN = " It stands in for the model that the run before this one is still to make."


@dataclass(frozen=True)
class Start:
    """The model to look at, as far as it is there."""

    folder: Path | None
    """None: the hub."""
    is_coming: str | None = None
    stands_in: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What the worker has that such a program may need to know."""

    settings: WorkerSettings
    data_dir: DataDir
    datasets: DatasetStore
    models: ModelStore
    supervisor: Supervisor
    device: str
    """`cpu` or `cuda`."""

    @property
    def folder(self) -> Path:
        """Where such programs keep their files; emptied when the worker starts."""
        return self.data_dir.root / "preflights"

    def start_of(self, spec: RunSpec) -> Start:
        if spec.starts_from:
            made = self.model_of(spec.starts_from)
            if made:
                return Start(made)
            return Start(self._own(spec), self._coming(spec), STANDS_IN)
        return Start(self._own(spec), self._coming(spec))

    def model_of(self, run_id: uuid.UUID) -> Path | None:
        try:
            folder = self.supervisor.run_dir(run_id).model_dir
        except NotFound:
            return None
        return folder if folder.is_dir() else None

    def lay_out(self, folder: Path, spec: RunSpec, device: str, start: Start) -> RunDir:
        run_dir = create_run_dir(folder, uuid.uuid4(), spec, Accepted(order=0, at=0.0))
        run_dir.write_inputs(
            Inputs.model_validate(
                {
                    "model_dir": str(start.folder) if start.folder else None,
                    "dataset_file": self._dataset(spec),
                    "device": device,
                    "threads": THREADS,
                    "starter_cache": str(self.data_dir.starter_cache),
                    "judge": judge_of(self.settings),
                    "sandbox": sandbox_of(self.settings),
                    "reward_models": self._reward_models(spec),
                }
            )
        )
        return run_dir

    def environment(self, spec: RunSpec, device: str) -> dict[str, str]:
        online = spec.model.kind == "hub" and self.settings.allow_hub
        given = environment(THREADS, device, online, judge_key_for(spec, self.settings))
        if device == "cuda":  # the trainers refuse to run where one process sees several
            given["CUDA_VISIBLE_DEVICES"] = given.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        return given

    def _reward_models(self, spec: RunSpec) -> dict[str, str]:
        """Those that are there."""
        found = {str(run_id): self.model_of(run_id) for run_id in reward_model_runs(spec.all_graders)}
        return {run_id: str(folder) for run_id, folder in found.items() if folder}

    def _own(self, spec: RunSpec) -> Path | None:
        if spec.model.kind == "local":
            return self.models.find(spec.model.name)
        if spec.model.kind == "starter":
            starter = self.supervisor.starter()
            return self.model_of(starter.id) if starter else None
        return None

    def _coming(self, spec: RunSpec) -> str | None:
        if spec.model.kind != "starter" or self._own(spec):
            return None
        starter = self.supervisor.starter()
        if starter and starter.state is RunState.FAILED:
            return f"The starter model could not be trained: {starter.detail or 'no reason given'}"
        return "The starter model is still being trained, so it cannot be looked at yet."

    def _dataset(self, spec: RunSpec) -> str | None:
        if spec.dataset is None or spec.dataset.kind == "generated":
            return None
        found = self.datasets.find(spec.dataset.sha256)
        return str(found or self.data_dir.datasets / "missing")
