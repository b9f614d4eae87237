"""Playgrounds: a process per run with both models loaded, kept while somebody asks it."""

import queue
import threading
import time
from collections.abc import Callable
from uuid import UUID

from pydantic import TypeAdapter

from app.errors import Conflict, RateLimited
from app.protocol import (
    Finished,
    PlaygroundInputs,
    PlaygroundLine,
    PlaygroundQuestion,
    RunSpec,
    Trouble,
    Waiting,
)
from app.run_dir import RunDir
from app.worker.children import Child
from app.worker.trial_runs import THREADS, Surroundings

MODULE = "app.engine.playground"

PATIENCE_SECONDS = 2.0
"""Without a word; then the listener is told that it still waits, which also finds out whether it is there."""

STOPPING_SECONDS = 3.0
"""A question waits this long for the one before: whoever pressed Stop asks on at once, and the word that
nobody listens any more is still on its way through the web."""

LINE: TypeAdapter[PlaygroundLine] = TypeAdapter(PlaygroundLine)

KILLED = (
    "The process with both models was killed from outside, as the system does when memory runs out. "
    "Try again when no run is training."
)
GONE = "The process with both models ended by itself; the worker's log says more."


class Room:
    """One run's process, which answers one question at a time."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.asked_at = time.monotonic()
        self.is_busy = False
        self._listener: queue.Queue[PlaygroundLine | None] | None = None
        self._lock = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="playground", daemon=True)
        self._reader.start()

    def ask(self, question: PlaygroundQuestion) -> "Answer":
        with self._lock:
            if not self._lock.wait_for(lambda: not self.is_busy, STOPPING_SECONDS):
                raise Conflict(
                    "The playground of this run is answering another question; stop that one first."
                )
            self.is_busy, self.asked_at = True, time.monotonic()
            self._listener = queue.Queue()
            self.child.tell(question.model_dump_json())
            return Answer(self, self._listener)

    def stop_answering(self, listener: "queue.Queue[PlaygroundLine | None]") -> None:
        """What the model still says of this question is heard by nobody; the next can be asked after it."""
        with self._lock:
            if self._listener is listener and self.is_busy:
                self._listener = None
                self.child.tell("")

    def close(self) -> None:
        self.child.kill()
        self._reader.join()
        self.child.close()

    def _read(self) -> None:
        for line in self.child.lines(LINE):
            self._hand_on(line, isinstance(line, Finished | Trouble))
        self._hand_on(None, is_last=True)

    def _hand_on(self, line: PlaygroundLine | None, is_last: bool) -> None:
        with self._lock:
            if self._listener:
                self._listener.put(line)
            if is_last:
                self.is_busy, self._listener = False, None
                self.asked_at = time.monotonic()
                self._lock.notify_all()


class Answer:
    """The lines of one answer as they come."""

    def __init__(self, room: Room, lines: "queue.Queue[PlaygroundLine | None]") -> None:
        self._room = room
        self._lines = lines
        self._waiting = Waiting(sentence="Waiting for the models.")
        self._is_over = False

    def next(self) -> str | None:
        """The next line, or after a while word that it is still waited for; None at the end."""
        if self._is_over:
            return None
        try:
            said = self._lines.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            return self._waiting.model_dump_json()
        line = said if said is not None else self._last_words()
        if isinstance(line, Waiting):
            self._waiting = line
        self._is_over = isinstance(line, Finished | Trouble)
        return line.model_dump_json(by_alias=True)

    def close(self) -> None:
        """Stops the answer, unless it came to its end."""
        if not self._is_over:
            self._is_over = True
            self._room.stop_answering(self._lines)

    def _last_words(self) -> Trouble:
        return Trouble(sentence=KILLED if self._room.child.was_killed else GONE)


class Playgrounds:
    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._rooms: dict[UUID, Room] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="playgrounds", daemon=True)

    def start(self) -> None:
        self._sweeper.start()

    def stop(self) -> None:
        self._stopped.set()
        self._sweeper.join()
        with self._lock:
            while self._rooms:
                self._rooms.popitem()[1].close()

    def ask(self, run_id: UUID, question: PlaygroundQuestion) -> Answer:
        """Raises NotFound, Conflict without a model to ask, RateLimited when every playground is in use."""
        run_dir = self._around.supervisor.run_dir(run_id)
        refuse_unplayable(run_dir)
        with self._lock:
            self._drop(lambda room: not room.child.is_running)
            if run_id not in self._rooms:
                self._make_place()
                self._rooms[run_id] = self._open(run_dir)
            room = self._rooms[run_id]
        return room.ask(question)

    def _open(self, run_dir: RunDir) -> Room:
        device = self._around.device
        environment = self._around.environment(run_dir.spec, device)
        child = Child(MODULE, self._around.data_dir.root, environment)
        inputs = PlaygroundInputs.model_validate(
            {
                "run_dir": str(run_dir.path),
                "base_dir": run_dir.inputs.model_dir,
                "device": device,
                "threads": THREADS,
            }
        )
        child.tell(inputs.model_dump_json())
        return Room(child)

    def _make_place(self) -> None:
        """The least recently asked of those that are silent leaves."""
        if len(self._rooms) < self._around.settings.playgrounds:
            return
        silent = [run_id for run_id, room in self._rooms.items() if not room.is_busy]
        if not silent:
            raise RateLimited(
                f"{len(self._rooms)} playgrounds are answering, as many as this worker keeps at a time "
                "(TUNING_FORK_WORKER_PLAYGROUNDS). Try again in a moment."
            )
        self._rooms.pop(min(silent, key=lambda run_id: self._rooms[run_id].asked_at)).close()

    def _drop(self, unwanted: Callable[[Room], bool]) -> None:
        for run_id, room in list(self._rooms.items()):
            if unwanted(room):
                self._rooms.pop(run_id).close()

    def _sweep(self) -> None:
        idle = self._around.settings.playground_minutes * 60
        while not self._stopped.wait(min(5.0, idle / 2)):
            with self._lock:
                self._drop(lambda room: not room.is_busy and room.asked_at + idle < time.monotonic())


def refuse_unplayable(run_dir: RunDir) -> None:
    spec: RunSpec = run_dir.spec
    if spec.recipe.kind == "reward_model":
        raise Conflict("A reward model scores answers and writes none, so there is nothing to ask it.")
    if spec.recipe.kind == "starter":
        raise Conflict("The starter model was made from nothing; play with a run that starts from it.")
    if spec.recipe.kind == "probe":
        raise Conflict("A probe trains no model; its page shows what the starting model answered.")
    if not run_dir.model_dir.is_dir():
        raise Conflict("This run has no model to ask yet; come back when its training is done.")
