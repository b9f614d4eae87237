"""The list of runs, and one run while it is trained and after."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from markupsafe import Markup
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import runs
from app.database import now
from app.errors import NotFound, Unavailable
from app.models import Assessment, Report, Run
from app.protocol import Artifact, MetricEvent, RunState, SampleEvent
from app.run_view import RunView, evaluations, every_point
from app.web import (
    assessing,
    charts,
    confirmed,
    evaluation_words,
    named_datasets,
    probe_proposals,
    probe_shown,
    probe_words,
    run_charts,
    run_life,
    run_words,
)
from app.web.deps import RulebookDep, RunDep, SessionDep, SweepDep, WorkerDep, render
from app.web.pilot_view import newest as newest_pilots
from app.web.run_settings import PRIORITIES
from app.web.run_setup import setting_rows
from app.web.spreadsheet import csv_file

router = APIRouter()

RUNS_PER_PAGE = 25
SPARK_POINTS = 40
LOG_LINES = 200

STATE_FILTERS: dict[str, tuple[str, tuple[RunState, ...]]] = {
    "": ("Any state", ()),
    "active": ("Not over yet", tuple(state for state in RunState if not state.is_over)),
    "paused": ("Paused", (RunState.PAUSING, RunState.PAUSED)),
    "succeeded": ("Succeeded", (RunState.SUCCEEDED,)),
    "failed": ("Failed", (RunState.FAILED,)),
    "cancelled": ("Cancelled", (RunState.CANCELLED,)),
}
METHOD_FILTERS = {"": "Any method"} | run_words.METHODS
SPARKED = {"sft": "loss", "grpo": "reward", "reward_model": "accuracy", "starter": "loss"}


# The list


@dataclass(frozen=True)
class Line:
    """One run in a list."""

    run: Run
    words: str
    now: str
    """The metric that its sparkline shows, in words."""
    spark: Markup


def lines(session: Session, found: Sequence[Run]) -> list[Line]:
    return [_line(session, run) for run in found]


def _line(session: Session, run: Run) -> Line:
    key = SPARKED.get(run.kind, "loss")
    values = _few_values(session, run, key)
    known = [value for value in values if value is not None]
    unit = "" if key == "loss" else "%"
    now = f"{key} {run_words.quantity(known[-1], unit)}" if known else ""
    return Line(run, runs.words(run), now, charts.sparkline(values, run.kind))


def _few_values(session: Session, run: Run, key: str) -> list[float | None]:
    """Evenly spaced ones among the run's metrics, the newest with them: as many as a word is wide."""
    ranked = (
        select(
            Report.what,
            Report.seq,
            func.row_number().over(order_by=Report.seq).label("place"),
            func.count().over().label("all"),
        )
        .where(Report.run_id == run.id, Report.kind == "metric")
        .subquery()
    )
    place, among = ranked.c.place, ranked.c.all
    is_next = place * SPARK_POINTS // among > (place - 1) * SPARK_POINTS // among
    found = session.scalars(select(ranked.c.what).where(is_next).order_by(ranked.c.seq))
    return [what.values[key] for what in found if isinstance(what, MetricEvent) and key in what.values]


def held_out_share(session: Session, run: Run) -> str:
    """The latest measured share of right sampled answers, or nothing."""
    after = evaluations(session, run).get(("main", "after"))
    if after is None:
        return ""
    return run_words.percent((after.agreement.share if after.agreement else after.sampled).value)


@router.get("/runs")
def list_runs(
    request: Request,
    session: SessionDep,
    state: Annotated[str, Query(max_length=20)] = "",
    method: Annotated[str, Query(max_length=20)] = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    wanted = STATE_FILTERS.get(state, STATE_FILTERS[""])[1]
    alone = select(Run).where(Run.pilot_id.is_(None))
    matching = alone.where(Run.state.in_(wanted)) if wanted else alone
    newest = list(session.scalars(matching.order_by(Run.created_at.desc(), Run.stage.desc())))
    if method and method in METHOD_FILTERS:
        newest = [run for run in newest if run.kind == method]
    shown = newest[(page - 1) * RUNS_PER_PAGE : page * RUNS_PER_PAGE]
    return render(
        request,
        "runs.html",
        lines=lines(session, shown),
        shares={run.id: held_out_share(session, run) for run in shown},
        total=len(newest),
        pilots=newest_pilots(session) if page == 1 and not (state or method) else [],
        any_at_all=bool(newest) or session.scalar(select(func.count()).select_from(Run)) != 0,
        state=state if state in STATE_FILTERS else "",
        method=method if method in METHOD_FILTERS else "",
        states=[(key, words) for key, (words, _) in STATE_FILTERS.items()],
        methods=list(METHOD_FILTERS.items()),
        page=page,
        pages=max(1, -(-len(newest) // RUNS_PER_PAGE)),
    )


# One run


@dataclass(frozen=True)
class WorkerFiles:
    """What only the worker has of a run."""

    artifacts: list[Artifact]
    log: str


def worker_files(run_id: UUID, worker: WorkerDep, sweep: SweepDep) -> WorkerFiles | None:
    """Asked before the request's transaction begins; None while the worker is away or lacks the run."""
    if sweep.worker_away is not None:
        return None
    try:
        return WorkerFiles(worker.artifacts(run_id), worker.log(run_id, LOG_LINES))
    except (Unavailable, NotFound):
        return None


WorkerFilesDep = Annotated[WorkerFiles | None, Depends(worker_files)]


@router.get("/runs/{run_id}")
def show_run(
    request: Request,
    files: WorkerFilesDep,
    run: RunDep,
    rulebook: RulebookDep,
    session: SessionDep,
    table: Annotated[str, Query(max_length=80)] = "",
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> Response:
    view = runs.view(session, run)
    figures = run_charts.figures(view, table, page)
    predecessor = session.get(Run, run.starts_from) if run.starts_from else None
    assessment = session.get(Assessment, run.assessment_id) if run.assessment_id else None
    return render(
        request,
        "run.html",
        view=view,
        opening=probe_words.opening(view.probe) if view.probe else run_words.opening(view),
        probe=probe_shown.shown(view, rulebook, assessing.answers(assessment) if assessment else None),
        suggested=suggested(session, run),
        elapsed_now=elapsed_now(view),
        may=run_life.may(view, run),
        limits=run_life.used(view, runs.limits_in_force(run)),
        cost=run_life.cost(view, runs.limits_in_force(run)),
        paused_by=runs.limit_that_paused(session, run) if run.state == RunState.PAUSED else None,
        turn=run_life.turn(session, run),
        priorities=PRIORITIES,
        attempts=run_life.attempts(view),
        findings=run_life.findings(view, rulebook, figures),
        checkpoints=run_life.checkpoints(view),
        plan=plan_of(session, run),
        road=road(session, run, view),
        predecessor=predecessor,
        assessment=assessment,
        figures=figures,
        table=table,
        measures=evaluation_words.measures(view.before, view.after),
        graders=evaluation_words.grader_results(view.spec, view.before, view.after),
        guarded=evaluation_words.guarded(view.guard_before, view.guard_after),
        calibrations=evaluation_words.calibrations(view.before, view.after),
        corrections=evaluation_words.corrections(view.before, view.after),
        groups=list(reversed(view.samples)),
        colour={"sft": "--sft", "grpo": "--grpo"}.get(view.kind, "--fg"),
        worker_files=files,
        has_model=_has_model(session, run, files),
        log_lines=LOG_LINES,
        snippets=SNIPPETS,
        model_words=run_words.model_words(view.spec.model),
        dataset_words=run_words.dataset_words(view.spec.dataset, named_datasets.names(session)),
        dataset_href=named_datasets.href(session, view.spec.dataset),
        setting_rows=setting_rows(view.spec),
        spec_json=json.dumps(view.spec.model_dump(mode="json", by_alias=True, exclude_none=True), indent=2),
        duration=run_words.duration,
        percent=run_words.percent,
        sentence=run_words.sentence,
        size=run_words.size,
        counted=evaluation_words.counted,
        reach=evaluation_words.reach,
        right_of=right_of,
        confirmed=_confirmed(session, run),
    )


def _has_model(session: Session, run: Run, files: WorkerFiles | None) -> bool:
    """Also one that a finding stopped, or that was cancelled while measuring, may have left one."""
    if files is None or run.state is RunState.SUCCEEDED:
        return runs.left_a_model(session, run)
    return run.state.is_over and any(file.name == "model.zip" for file in files.artifacts)


def _confirmed(session: Session, run: Run) -> tuple[str, str] | None:
    """What it showed about the recommendation it followed, and where that stands."""
    found = confirmed.of_run(session, run.id)
    if found is None:
        return None
    (decided,) = confirmed.decisions(session, [found])
    return confirmed.said(found.outcome), decided.record


SNIPPETS = {
    "load": """from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "model"  # where you unpacked model.zip
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)

prompt = [{"role": "user", "content": "Your prompt"}]
inputs = tokenizer.apply_chat_template(
    prompt, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
output = model.generate(**inputs, max_new_tokens=256, do_sample=True, temperature=1.0)
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))""",
    "serve": """pip install "transformers[serving]"
transformers serve ./model --port 8080

curl http://127.0.0.1:8080/v1/chat/completions \\
  -H "Content-Type: application/json" \\
  -d '{"model": "./model", "messages": [{"role": "user", "content": "Your prompt"}]}'""",
}


def elapsed_now(view: RunView) -> float | None:
    if view.is_over or view.started_at is None or view.state == RunState.PAUSED:
        return view.elapsed_seconds
    return max(0.0, (now() - view.started_at).total_seconds())


def suggested(session: Session, run: Run) -> int:
    """Answers and measurements that wait to be accepted, found by this probe."""
    return len(probe_proposals.waiting_of(session, run)) if run.kind == "probe" else 0


@dataclass(frozen=True)
class StageLink:
    id: UUID
    name: str
    kind: str
    state: str
    here: bool


def plan_of(session: Session, run: Run) -> list[StageLink]:
    """The runs before and after this one that a model passes through; empty for a run on its own."""
    if run.kind == "probe":
        return []
    chain = [run]
    while (first := chain[0].starts_from) and (before := session.get(Run, first)) and len(chain) < 10:
        chain.insert(0, before)
    while len(chain) < 10 and (after := successor(session, chain[-1])):
        chain.append(after)
    if len(chain) == 1:
        return []
    return [StageLink(r.id, r.spec.name, r.kind, r.state.value, r.id == run.id) for r in chain]


def successor(session: Session, run: Run) -> Run | None:
    """The latest run that goes on training its model; a probe only asks it."""
    after = session.scalars(select(Run).where(Run.starts_from == run.id).order_by(Run.created_at.desc()))
    return next((each for each in after if each.kind != "probe"), None)


def road(session: Session, run: Run, view: RunView) -> list[tuple[str, object, Markup]]:
    """Start, middle and end of a plan on one scale: from before its first stage to after this one."""
    if view.after is None or view.before is None or run.starts_from is None:
        return []
    before = session.get(Run, run.starts_from)
    earlier = evaluations(session, before).get(("main", "before")) if before else None
    if before is None or earlier is None:
        return []
    return [
        evaluation_words.picture("Start", earlier.sampled, hollow=True),
        evaluation_words.picture(f"After {before.kind.upper()}", view.before.sampled),
        evaluation_words.picture(f"After {run.kind.upper()}", view.after.sampled),
    ]


def right_of(group: SampleEvent) -> str:
    """How a group's completions were rewarded, in words where rewards are all or nothing."""
    known = [reward for reward in group.rewards if reward is not None]
    if set(known) <= {0.0, 1.0}:
        return f"{known.count(1.0)} of {len(group.completions)} completions right"
    return f"rewards {', '.join(f'{reward:.2f}' for reward in known)}"


@router.get("/runs/{run_id}/metrics.csv")
def metrics_csv(
    run: RunDep, session: SessionDep, series: Annotated[str, Query(max_length=80)] = ""
) -> Response:
    metrics = every_point(session, run)
    chosen = {key: points for key, points in metrics.items() if key == series} if series else metrics
    if series and not chosen:
        raise NotFound(f"This run has no numbers called “{series}”.")
    table = {key: {point.step: point.value for point in points} for key, points in chosen.items()}
    steps = sorted({step for values in table.values() for step in values})
    rows = ([step, *(values.get(step, "") for values in table.values())] for step in steps)
    # A series may carry a grader's name, which can be any text.
    name = f"run-{run.id}{'-' + re.sub(r'[^A-Za-z0-9_.-]+', '-', series) if series else ''}.csv"
    return csv_file([["step", *table], *rows], name)
