"""The measurements before and after training: when each is made, what is remembered, and the guard task."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from app import datasets
from app.datasets.formats import Row
from app.engine.evaluation import answered_by_batch, evaluate
from app.engine.health import forgetting
from app.engine.loading import Loaded, starting_model
from app.engine.measuring import refuse_useless_grader
from app.engine.remembered import Memory
from app.engine.reporting import CannotTrain, Run
from app.engine.rows import answers, gradable
from app.engine.tuning import tuning_of
from app.errors import TuningForkError
from app.protocol import Evaluation, EvaluationEvent, FullTuning, Guard, HealthEvent, RunSpec

TRIED = 5
"""Held-out rows on which a grader has to give a score once, where the baseline comes later or never."""


def before_training(run: Run, loaded: Loaded, rows: Sequence[Row]) -> Evaluation | None:
    """The baseline of the main task; None where it is measured later or not at all.

    Raises CannotTrain where the grader scores nothing, whenever the baseline is measured.
    """
    plan = run.spec.evaluation
    found = _told(run, "main") or _remembered(run, run.spec, loaded, rows, "main")
    if found is None and plan.baseline == "first":
        found = _measured(run, run.spec, loaded, rows, "main")
    if found is None:
        _try_grader(run, loaded, rows)
    elif run.spec.grader and not found.sampled.n:
        refuse_useless_grader([sample.outcome for sample in found.samples])
        raise CannotTrain("The grader gave no score to any held-out answer. No answer counted as wrong.")
    if plan.guard:
        _guard_before(run, loaded, plan.guard)
    return found


def after_training(
    run: Run, loaded: Loaded, rows: Sequence[Row], before: Evaluation | None
) -> tuple[Evaluation | None, Evaluation]:
    """Both evaluations of the main task; the first is None where the plan skips it."""
    plan = run.spec.evaluation
    after = _measured_after(run, run.spec, loaded, rows, "main")
    guarded = None
    if plan.guard:
        spec, guard_rows = _guard(run, plan.guard)
        guarded = _measured_after(run, spec, loaded, guard_rows, "guard")
    if plan.baseline != "skip":
        before = before or _later(run, loaded, rows)
    if guarded and (guard_before := _told(run, "guard")):
        _tell(run, forgetting(guard_before, guarded, run.steps_done))
    return before, after


def _later(run: Run, loaded: Loaded, rows: Sequence[Row]) -> Evaluation:
    with _as_it_started(run, loaded) as start:
        before = _measured(run, run.spec, start, rows, "main")
        if (guard := run.spec.evaluation.guard) and not _told(run, "guard"):
            spec, guard_rows = _guard(run, guard)
            _measured(run, spec, start, guard_rows, "guard")
    return before


@contextmanager
def _as_it_started(run: Run, loaded: Loaded) -> Iterator[Loaded]:
    """The trained model makes room; an adapter is only switched off."""
    if hasattr(loaded.model, "disable_adapter"):
        with loaded.model.disable_adapter():
            yield loaded
        return
    assert loaded.folder is not None
    device = loaded.model.device
    loaded.model.to("cpu")
    try:
        yield replace(loaded, model=starting_model(loaded.folder).to(device))
    finally:
        loaded.model.to(device)


def _guard_before(run: Run, loaded: Loaded, guard: Guard) -> None:
    if _told(run, "guard"):
        return
    spec, rows = _guard(run, guard)
    found = _remembered(run, spec, loaded, rows, "guard")
    if found is None and run.spec.evaluation.baseline == "first":
        _measured(run, spec, loaded, rows, "guard")


def _guard(run: Run, guard: Guard) -> tuple[RunSpec, list[Row]]:
    """How the guard task is measured, and on which rows."""
    try:
        split = datasets.load(guard.dataset, run.inputs.guard_file, guard.items)
    except (TuningForkError, FileNotFoundError, ValueError) as error:
        why = str(error).rstrip(".")
        raise CannotTrain(f"The guard task's dataset cannot be read: {why}.") from None
    rows = [row for row in gradable(split.held_out, guard.grader) if row.messages]
    if not rows:
        raise CannotTrain("The guard task's dataset has no held-out row that its grader can grade.")
    changes: dict[str, Any] = {
        "dataset": guard.dataset,
        "grader": guard.grader,
        "draft_grader": None,
        "independent_graders": [],
    }
    return run.spec.model_copy(update=changes), rows


def _remembered(run: Run, spec: RunSpec, loaded: Loaded, rows: Sequence[Row], task: Any) -> Evaluation | None:
    found = Memory(run, spec, loaded.folder, rows).recall()
    if found is None or found.task != task:
        return None
    run.say(EvaluationEvent(evaluation=found))
    return found


def _measured(run: Run, spec: RunSpec, loaded: Loaded, rows: Sequence[Row], task: Any) -> Evaluation:
    found = evaluate(run, "before", loaded, rows, spec, task)
    Memory(run, spec, loaded.folder, rows).keep(found)
    return found


def _measured_after(run: Run, spec: RunSpec, loaded: Loaded, rows: Sequence[Row], task: Any) -> Evaluation:
    """A run that starts from this one's model finds what its start would measure.

    Not where an adapter was trained: merged into the weights it rounds otherwise than beside them.
    """
    found = evaluate(run, "after", loaded, rows, spec, task)
    if isinstance(tuning_of(spec), FullTuning):
        as_a_start = found.model_copy(update={"when": "before"})
        Memory(run, spec, run.dir.model_dir, rows).keep(as_a_start)
    return found


def _told(run: Run, task: str) -> Evaluation | None:
    """What this run, or an earlier attempt at it, has told of its starting model."""
    found = (event.evaluation for event in run.said(EvaluationEvent))
    return next((each for each in found if each.when == "before" and each.task == task), None)


def _tell(run: Run, finding: HealthEvent | None) -> None:
    if finding:
        run.say(finding)


def _try_grader(run: Run, loaded: Loaded, rows: Sequence[Row]) -> None:
    grader, some = run.spec.grader, [row for row in rows if row.messages][:TRIED]
    if grader is None:
        return
    torch.manual_seed(run.spec.seed)
    tried = [
        (some[index], answer.text)
        for batch, found in answered_by_batch(run, run.spec.evaluation, loaded, some, is_sampled=True)
        for index, answer in zip(batch, found, strict=True)
    ]
    given = answers([row for row, _ in tried], [text for _, text in tried])
    refuse_useless_grader(run.bench.grade(grader, given))
