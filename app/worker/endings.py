"""What is written of a run that no engine works on: that it is paused, starts again, or its verdict."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import Conflict
from app.protocol import Happening, RunState, StateEvent
from app.run_dir import RunDir
from app.settings import WorkerSettings
from app.worker.followed_run import FollowedRun, Verdict
from app.worker.losses import Ending, pause_seconds, why_not_again

log = logging.getLogger(__name__)


def has_last_word(run: FollowedRun, ended: Ending, settings: WorkerSettings) -> bool:
    """Writes what became of a run whose engine is gone; False while somebody else still holds it."""
    if run.has_been_cancelled:
        return close(run, RunState.CANCELLED)
    if run.stalled:
        return close(run, RunState.FAILED, run.stalled)
    if run.state is RunState.PAUSED and not run.is_over:
        run.forget_pause()
        return True
    if not ended.is_loss:
        return close(run, RunState.FAILED, ended.sentence)
    return _lose(run, ended, settings)


def close(run: FollowedRun, state: Verdict, reason: str | None = None) -> bool:
    """Appends the verdict unless there is one; False while somebody else still holds the run."""
    with _held(run.dir) as is_ours:
        if is_ours:
            run.catch_up()
        if is_ours and not run.is_over:
            run.give_verdict(state, reason)
            log.info("run %s %s: %s", run.id, state.value, reason or "as asked")
    return is_ours


def tell(run: FollowedRun, happening: Happening) -> None:
    """Raises Conflict while somebody else still holds the run."""
    with _held(run.dir) as is_ours:
        if not is_ours:
            raise Conflict("This run's process is still shutting down; try again in a few seconds.")
        run.tell(happening)


def _lose(run: FollowedRun, ended: Ending, settings: WorkerSettings) -> bool:
    """Not the run's own fault, so it is started again, after a pause and not without end."""
    with _held(run.dir) as is_ours:
        if not is_ours:
            return False
        run.catch_up()
        if run.is_over:
            return True
        if run.is_pausing:
            run.tell(StateEvent(state=RunState.PAUSED, detail=f"{ended.sentence} It was to pause anyway."))
            run.forget_pause()
            return True
        _again_or_failed(run, ended, settings)
        return True


def _again_or_failed(run: FollowedRun, ended: Ending, settings: WorkerSettings) -> None:
    losses = run.losses_with(ended.signature)
    why_not = why_not_again(losses, settings.retries)
    if why_not is not None:
        run.give_verdict(RunState.FAILED, f"{ended.sentence} {why_not}".strip())
        log.warning("run %s failed: %s", run.id, run.end.reason if run.end else "")
        return
    run.dir.write_losses(losses)
    run.losses = losses
    pause = pause_seconds(losses, settings.retry_seconds)
    run.tell(
        StateEvent(
            state=RunState.QUEUED,
            detail=f"{ended.sentence} It starts again after {pause:g} s, as attempt {run.attempt} "
            f"of at most {1 + settings.retries}, from its newest checkpoint.",
        )
    )
    run.not_before = time.monotonic() + pause
    log.warning("run %s was lost (%s) and is started again", run.id, ended.signature)


@contextmanager
def _held(run_dir: RunDir) -> Iterator[bool]:
    lock = run_dir.take_lock()
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)
