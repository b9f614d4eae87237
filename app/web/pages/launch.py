"""Launching: a form that starts from the advice, a page that says what will happen, and then the runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, BackgroundTasks, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import runs
from app.advisor.recommendation import Recommendation
from app.errors import Conflict, InvalidInput, NotFound, Problem, RateLimited, TuningForkError, WorkerAway
from app.models import Assessment, Dataset, Run
from app.protocol import DatasetSummary, GradeRequest, ModelSummary, RunSpec, RunState
from app.web import launch_defaults, launch_form, launch_words
from app.web.deps import AssessmentDep, SessionDep, SettingsDep, SweepDep, WorkerDep, render
from app.web.recipe_settings import BY_METHOD, EVALUATION

router = APIRouter()

FIELDS_AT_MOST = 200


async def typed(request: Request) -> dict[str, str]:
    """The form as text by field name; a file sent in place of a text is nothing."""
    form = await request.form(max_fields=FIELDS_AT_MOST)
    return {key: value for key, value in form.items() if isinstance(value, str)}


Typed = Annotated[dict[str, str], Depends(typed)]


@dataclass(frozen=True)
class Stock:
    """What the worker has to offer; empty while it is away."""

    models: Sequence[ModelSummary] = ()
    datasets: Mapping[str, DatasetSummary] = field(default_factory=dict)
    """By generated name or content hash."""
    known: bool = False


def stock(worker: WorkerDep, sweep: SweepDep) -> Stock:
    """Asked before the request's transaction begins."""
    if sweep.worker_away is not None:
        return Stock()
    try:
        datasets = {_key(summary): summary for summary in worker.datasets()}
        return Stock(worker.models(), datasets, known=True)
    except WorkerAway:
        return Stock()


def _key(summary: DatasetSummary) -> str:
    return summary.ref.name if summary.ref.kind == "generated" else summary.ref.sha256


StockDep = Annotated[Stock, Depends(stock)]


# The form


@router.get("/assessments/{assessment_id}/launch")
def launch_advised(
    request: Request, stock: StockDep, assessment: AssessmentDep, session: SessionDep
) -> Response:
    advice = _advice(assessment)
    if advice is None:
        return RedirectResponse(f"/assessments/{assessment.id}/check", 303)
    form = launch_defaults.from_advice(assessment.name, advice)
    return _show_form(request, session, stock, form, assessment=assessment)


@router.get("/runs/new")
def launch_freely(
    request: Request,
    stock: StockDep,
    session: SessionDep,
    like: Annotated[UUID | None, Query()] = None,
    start: Annotated[UUID | None, Query()] = None,
    dataset: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    form = launch_defaults.from_nothing()
    if like is not None:
        form = launch_defaults.like(_run(session, like).spec)
    if start is not None:
        form["model"] = f"run:{_run(session, start).id}"
    if dataset:
        form["dataset"] = f"uploaded:{dataset}"
        form |= launch_defaults.fitting(form["plan"], form["model"], form["dataset"], None)
    return _show_form(request, session, stock, form)


def _run(session: Session, run_id: UUID) -> Run:
    found = session.get(Run, run_id)
    if found is None:
        raise NotFound("There is no run here to start from: it may have been deleted.")
    return found


def _advice(assessment: Assessment) -> Recommendation | None:
    return assessment.decisions[-1].recommendation if assessment.decisions else None


def _show_form(
    request: Request,
    session: Session,
    stock: Stock,
    form: Mapping[str, str],
    *,
    assessment: Assessment | None = None,
    problems: Sequence[Problem] = (),
    changed: str = "",
) -> Response:
    advice = _advice(assessment) if assessment else None
    settled = launch_words.settled_for(form)
    return render(
        request,
        "launch.html",
        422 if problems else 200,
        action=f"/assessments/{assessment.id}/launch" if assessment else "/runs/new",
        assessment=assessment,
        advice=launch_words.advice_in_short(advice) if advice else None,
        must_explain=bool(advice and _must_explain(form, advice)),
        form=form,
        problems=problems,
        changed=changed,
        settled_for=settled,
        methods=launch_form.PLANS.get(form.get("plan", ""), ()),
        settings=BY_METHOD | {"evaluation": EVALUATION},
        advised=launch_defaults.advised(advice) if form.get("model") != "starter" else {},
        defaults=launch_defaults.fitting(
            form.get("plan", ""), form.get("model", ""), form.get("dataset", ""), advice
        ),
        plan_options=launch_words.plan_options(advice),
        model_options=launch_words.model_options(stock.models, _origins(session, form)),
        models_unknown=not stock.known,
        dataset_options=launch_words.dataset_options(stock.datasets, _uploaded(session)),
    )


def _uploaded(session: Session) -> list[Dataset]:
    return list(session.scalars(select(Dataset).order_by(Dataset.created_at.desc())))


def _origins(session: Session, form: Mapping[str, str]) -> dict[str, Run]:
    """Runs whose model this form may start from: the newest that succeeded, and the one it names."""
    done = select(Run).where(Run.state == RunState.SUCCEEDED).order_by(Run.ended_at.desc()).limit(8)
    found = [run for run in session.scalars(done) if run.kind != "starter"][:3]
    named = form.get("model", "").removeprefix("run:") if form.get("model", "").startswith("run:") else ""
    try:
        also = session.get(Run, UUID(named)) if named else None
    except ValueError:
        also = None
    return {f"run:{run.id}": run for run in [*([also] if also else []), *found]}


# What was typed


@dataclass(frozen=True)
class Trial:
    kind: str
    sentence: str


def trial(form: Typed, stock: StockDep, worker: WorkerDep) -> Trial | None:
    """The grader tried on the dataset's own first answer, before the request's transaction begins."""
    row = _first_demonstration(form, stock)
    if form.get("action") != "check" or row is None:
        return None
    specs = launch_form.read(form, {}).specs
    if not specs or specs[0].grader is None:
        return None
    answer, item = row
    try:
        outcome = worker.grade(GradeRequest(grader=specs[0].grader, output_text=answer, item=item))
    except TuningForkError:
        return None
    match outcome.kind:
        case "score" if outcome.value == 1:
            return Trial("ok", "It scores the first demonstration’s own answer as right.")
        case "score":
            return Trial(
                "bad", f"It gives the first demonstration’s own answer {outcome.value:g} of 1. Is it right?"
            )
        case "abstain":
            return Trial("bad", f"It does not apply to the first demonstration’s own answer: {outcome.why}")
        case "error":
            return Trial("bad", f"It failed on the first demonstration’s own answer: {outcome.why}")


def _first_demonstration(form: Mapping[str, str], stock: Stock) -> tuple[str, dict[str, object]] | None:
    summary = stock.datasets.get(form.get("dataset", "").partition(":")[2])
    rows = (launch_words.trial_item(row) for row in (summary.preview if summary else []))
    return next((row for row in rows if row), None)


TrialDep = Annotated[Trial | None, Depends(trial)]


@dataclass(frozen=True)
class Order:
    """What came with one sending of the form."""

    request: Request
    session: Session
    stock: Stock
    form: dict[str, str]
    assessment: Assessment | None
    trial: Trial | None

    @property
    def advice(self) -> Recommendation | None:
        return _advice(self.assessment) if self.assessment else None


@router.post("/assessments/{assessment_id}/launch")
def post_advised(
    request: Request,
    stock: StockDep,
    form: Typed,
    trial: TrialDep,
    assessment: AssessmentDep,
    session: SessionDep,
    settings: SettingsDep,
    sweep: SweepDep,
    tasks: BackgroundTasks,
) -> Response:
    order = Order(request, session, stock, form, assessment, trial)
    return _launch(order, settings, sweep, tasks) if form.get("action") == "launch" else _answer(order)


@router.post("/runs/new")
def post_freely(
    request: Request,
    stock: StockDep,
    form: Typed,
    trial: TrialDep,
    session: SessionDep,
    settings: SettingsDep,
    sweep: SweepDep,
    tasks: BackgroundTasks,
) -> Response:
    order = Order(request, session, stock, form, None, trial)
    return _launch(order, settings, sweep, tasks) if form.get("action") == "launch" else _answer(order)


def _answer(order: Order) -> Response:
    action = order.form.get("action")
    if action == "change":
        return _again(order, order.form)
    fits = order.form.get("settled_for") == launch_words.settled_for(order.form)
    if action == "refresh" or not fits:
        return _refit(order, said=not fits and action != "refresh")
    reading = _read(order)
    return _again(order, order.form, reading.problems) if reading.problems else _confirm(order, reading.specs)


def _refit(order: Order, said: bool) -> Response:
    """Settings for another method, model or dataset; what describes the run itself stays as typed."""
    form = order.form
    fitting = launch_defaults.fitting(
        form.get("plan", ""), form.get("model", ""), form.get("dataset", ""), order.advice
    )
    before = form.get("settled_for", "").split(" ")
    if len(before) == len(launch_words.DECIDES):
        usual = launch_defaults.fitting(before[0], before[1], before[2], order.advice)
        fitting = {name: form[name] if _is_own(form, usual, name) else fit for name, fit in fitting.items()}
    notice = "You chose another method, model or dataset. Look them over, then continue." if said else ""
    return _again(order, form | fitting, changed=notice)


def _is_own(form: Mapping[str, str], usual: Mapping[str, str], name: str) -> bool:
    """Whether somebody typed another value than the form had put there."""
    return name in form and name in usual and form[name].replace("\r\n", "\n") != usual[name]


def _again(
    order: Order, form: Mapping[str, str], problems: Sequence[Problem] = (), changed: str = ""
) -> Response:
    return _show_form(
        order.request,
        order.session,
        order.stock,
        form,
        assessment=order.assessment,
        problems=problems,
        changed=changed,
    )


def _read(order: Order) -> launch_form.Reading:
    origins = {value: run.spec for value, run in _origins(order.session, order.form).items()}
    reading = launch_form.read(order.form, origins)
    reason = order.form.get("override_reason", "").strip()
    if order.advice and _must_explain(order.form, order.advice) and not reason:
        sentence = launch_words.override(order.form.get("plan", ""), order.advice)
        reading.problems.append(Problem(where="override_reason", what=f"{sentence} Say why."))
    if len(reason) > launch_form.LONGEST_REASON:
        most = launch_form.LONGEST_REASON
        reading.problems.append(Problem(where="override_reason", what=f"Shorten it to {most} characters."))
    reading.problems += _dataset_problems(order, reading.specs)
    return reading


def _dataset_problems(order: Order, specs: Sequence[RunSpec]) -> list[Problem]:
    for spec in specs:
        summary = order.stock.datasets.get(order.form.get("dataset", "").partition(":")[2])
        if spec.recipe.kind == "sft" and summary and not summary.demonstrations:
            return [
                Problem(where="dataset", what="SFT needs demonstrations, and this dataset has only prompts.")
            ]
    return []


def _must_explain(form: Mapping[str, str], advice: Recommendation) -> bool:
    return form.get("plan") != advice.plan.id or advice.readiness == "fix_first"


# What will happen, and making it happen


def _confirm(order: Order, specs: list[RunSpec]) -> Response:
    names = {row.sha256: row.name for row in _uploaded(order.session)}
    explain = order.advice and _must_explain(order.form, order.advice)
    kept = {key: value for key, value in order.form.items() if key not in ("action", "key")}
    return render(
        order.request,
        "launch_confirm.html",
        action=order.request.url.path,
        title=order.form.get("name", ""),
        opening=launch_words.opening(len(specs), order.stock.known),
        stages=launch_words.stage_words(order.session, specs, order.stock.datasets, names),
        trial=order.trial,
        override={
            "sentence": launch_words.override(order.form.get("plan", ""), order.advice),
            "reason": order.form.get("override_reason", ""),
        }
        if explain and order.advice
        else None,
        form=kept,
        key=str(uuid4()),
    )


def _launch(order: Order, settings: SettingsDep, sweep: SweepDep, tasks: BackgroundTasks) -> Response:
    reading = _read(order)
    if reading.problems:
        return _again(order, order.form, reading.problems)
    try:
        launched, _ = runs.launch(
            order.session,
            reading.specs,
            settings,
            assessment=order.assessment,
            override_reason=order.form.get("override_reason", "").strip() or None,
            key=f"form/{order.form.get('key', '')[:64]}" if order.form.get("key") else None,
        )
    except (InvalidInput, RateLimited, Conflict) as error:
        problems = [Problem(where=_field(each.where), what=each.what) for each in error.problems]
        return _again(order, order.form, problems or [Problem(where="", what=error.sentence)])
    tasks.add_task(sweep.wake)
    return RedirectResponse(f"/runs/{launched[0].id}", 303)


def _field(where: str) -> str:
    """`plan.1.dataset` is the form's `dataset`."""
    return where.rsplit(".", 1)[-1]
