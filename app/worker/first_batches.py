"""First batches: made once for each model, dataset and recipe by a small process, and remembered."""

import hashlib
import shutil
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from app.errors import RateLimited
from app.protocol import FirstBatchInputs, FirstBatchMade, FirstBatchState, RunSpec
from app.worker.children import Child
from app.worker.refusals import refuse_to_look_before
from app.worker.trial_runs import Surroundings

MODULE = "app.engine.first_batch"

REMEMBERED = 16

MOST_AT_ONCE = 2

SECONDS = 180.0
"""Importing the trainer takes most of them."""

MADE = TypeAdapter(FirstBatchMade)

DECIDING = {"model", "starts_from", "dataset", "recipe", "seed", "grader"}
"""Fields of a run that its first batch depends on."""

KILLED = "It took too long, or more memory than there is. Try a smaller dataset, or when no run is training."


@dataclass
class Making:
    child: Child
    folder: Path
    timer: threading.Timer
    state: FirstBatchState


class FirstBatches:
    """Every public method may be called from any thread."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._made: OrderedDict[str, FirstBatchState] = OrderedDict()
        self._making: dict[str, Making] = {}
        self._lock = threading.Lock()

    def stop(self) -> None:
        with self._lock:
            making = list(self._making.values())
        for each in making:
            each.timer.cancel()
            each.child.kill()

    def ask(self, spec: RunSpec) -> FirstBatchState:
        """Raises RateLimited when several others are being made, InvalidInput for a probe."""
        refuse_to_look_before(spec)
        start = self._around.start_of(spec)
        if start.is_coming:
            return FirstBatchState(state="failed", sentence=start.is_coming)
        key = _key(spec, start.folder)
        with self._lock:
            if made := self._made.get(key):
                self._made.move_to_end(key)
                if made.state == "failed":
                    del self._made[key]  # told once, and tried again when asked again
                return made
            if key not in self._making:
                self._begin(key, spec)
            return self._making[key].state

    def _begin(self, key: str, spec: RunSpec) -> None:
        if len(self._making) >= MOST_AT_ONCE:
            raise RateLimited("Other first batches are being made; try again in a moment.")
        folder = Path(tempfile.mkdtemp(dir=self._around.folder))
        run_dir = self._around.lay_out(folder, spec, "cpu", self._around.start_of(spec))
        child = Child(MODULE, folder, self._around.environment(spec, "cpu"))
        most = self._around.settings.first_batch_rows
        child.tell(FirstBatchInputs(run_dir=str(run_dir.path), most_rows=most).model_dump_json())
        timer = threading.Timer(SECONDS, child.kill)
        timer.daemon = True
        self._making[key] = Making(child, folder, timer, FirstBatchState(state="running"))
        timer.start()
        threading.Thread(target=self._follow, args=(key,), name="first batch", daemon=True).start()

    def _follow(self, key: str) -> None:
        making = self._making[key]
        said = list(making.child.lines(MADE))
        found = said[-1] if said else FirstBatchMade(trouble=_why(making.child))
        making.timer.cancel()
        with self._lock:
            self._made[key] = FirstBatchState(
                state="done" if found.batch else "failed", sentence=found.trouble, batch=found.batch
            )
            while len(self._made) > REMEMBERED:
                self._made.popitem(last=False)
            del self._making[key]
        making.child.close()
        shutil.rmtree(making.folder, ignore_errors=True)


def _why(child: Child) -> str:
    words = child.last_words().strip().splitlines()
    if child.was_killed or not words:
        return KILLED
    return f"The process that makes it ended by itself: {words[-1][:300]}."


def _key(spec: RunSpec, folder: Path | None) -> str:
    given = spec.model_dump_json(include=DECIDING, by_alias=True)
    return hashlib.sha256(f"{folder}\n{given}".encode()).hexdigest()
