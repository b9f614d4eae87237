"""What the worker has and can do beside runs."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import StringConstraints

from app.protocol.graders import Grader
from app.protocol.runs import RunStatus
from app.protocol.words import Message, RunId


class GradeRequest(Message):
    grader: Grader
    output_text: Annotated[str, StringConstraints(max_length=65536)]
    item: dict[str, Any] = {}
    prompt: Annotated[str, StringConstraints(max_length=65536)] = ""


class Artifact(Message):
    name: str
    bytes: int


class Device(Message):
    kind: Literal["cpu", "cuda"]
    name: str
    count: int
    memory_bytes: int


class TrackingTarget(Message):
    """Where an engine sends metrics beside the run's own files; the key is kept apart."""

    to: list[Literal["mlflow", "wandb", "trackio"]] = []
    url: str = ""


class WorkerHealth(Message):
    versions: Mapping[str, str]
    device: Device
    running: list[RunId]
    queued: list[RunId]
    disk_free_bytes: int
    starter: RunStatus | None = None
    sandboxes: Mapping[str, str] = {}
    """Of Python graders: `monty`, `cage`; empty text where it works, else why it does not."""
    tracking: list[str] = []
    """Where metrics are sent beside the run's own files."""
    warm_engines: int = 0
    """Processes that wait with their imports done."""
