"""Launching: a form that starts from the advice, a page that says what will happen, and then the runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, BackgroundTasks, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import runs
from app.advisor.recommendation import Recommendation
from app.errors import Conflict, InvalidInput, NotFound, Problem, RateLimited
from app.models import Assessment, Dataset, Run
from app.outcome import is_as_advised
from app.protocol import OVER, Check, DatasetSummary, Grader, RunSpec
from app.protocol.advanced import ADVANCED, problems_with_advanced
from app.web import (
    launch_defaults,
    launch_form,
    launch_promises,
    launch_words,
    named_datasets,
    probe_form,
)
from app.web.deps import AssessmentDep, SessionDep, SettingsDep, SweepDep, Typed, render
from app.web.grader_choices import grader_choices
from app.web.launch_stock import Stock, StockDep, grader_offer
from app.web.launch_trial import Trial, TrialDep
from app.web.launch_values import dataset_value
from app.web.pages.preflights import FailedDep, explained, override
from app.web.run_settings import ALL, PRIORITIES

router = APIRouter()

RECENT = 20
"""Runs among which the form looks for models to start from."""

# The form


@router.get("/assessments/{assessment_id}/launch")
def launch_advised(
    request: Request, stock: StockDep, assessment: AssessmentDep, session: SessionDep
) -> Response:
    advice = _advice(assessment)
    if advice is None:
        return RedirectResponse(f"/assessments/{assessment.id}/check", 303)
    form = launch_defaults.from_advice(assessment.name, advice)
    if linked := named_datasets.linked(session, assessment):
        form["dataset"] = dataset_value(linked)
        form |= launch_defaults.fitting(launch_words.chosen_in(form, stock.models, stock.datasets), advice)
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
        run = _run(session, like)
        if run.kind == "probe":
            return RedirectResponse(f"/runs/probe?like={run.id}", 303)
        form = launch_defaults.like(run.spec, _stored(session), run.priority)
    if start is not None:
        form["model"] = f"run:{_run(session, start).id}"
    if dataset:
        form["dataset"] = f"uploaded:{dataset}"
        form |= _plan_for(stock.datasets.get(dataset))
        form |= launch_defaults.fitting(launch_words.chosen_in(form, stock.models, stock.datasets), None)
    return _show_form(request, session, stock, form)


def _plan_for(summary: DatasetSummary | None) -> dict[str, str]:
    """The method that a dataset allows, where it is not the usual one."""
    if summary is None or summary.demonstrations or summary.texts:
        return {}
    return {"plan": "reward_model" if summary.preferences else "grpo"}


def _stored(session: Session) -> dict[str, Grader]:
    return {value: spec for value, _, spec in grader_choices(session)}


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
    chosen = launch_words.chosen_in(form, stock.models, stock.datasets)
    uploaded = _uploaded(session)
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
        settled_for=launch_words.settled_for(chosen),
        methods=launch_form.PLANS.get(chosen.plan, ()),
        settings=ALL,
        advised=launch_defaults.advised(advice) if form.get("model") != "starter" else {},
        defaults=launch_defaults.fitting(chosen, advice),
        reasons=reasons(request, chosen),
        plan_options=launch_words.plan_options(advice),
        model_options=launch_words.model_options(stock.models, origins(session, form)),
        models_unknown=not stock.known,
        dataset_options=launch_words.dataset_options(stock.datasets, uploaded),
        pair_options=launch_words.pair_options(stock.datasets, uploaded),
        guard_options=launch_words.guard_options(stock.datasets, uploaded),
        tuning_options=launch_words.tuning_options(stock.device),
        advanced_fields=ADVANCED,
        graders=grader_offer(session, form),
        priorities=PRIORITIES,
    )


def reasons(request: Request, chosen: launch_defaults.Chosen) -> dict[str, str]:
    """Why a default is what it is, and who says so, by field."""
    cited = request.app.state.parts.rulebook.evidence
    found = {}
    for method in launch_form.PLANS.get(chosen.plan, ()):
        for name, default in launch_defaults.published(method, chosen).items():
            prefix = "tuning" if name in ("rank", "alpha", "dropout") else method
            sources = "; ".join(cited[each].citation for each in default.sources if each in cited)
            found[f"{prefix}.{name}"] = f"{default.why} ({sources})" if sources else default.why
    return found


def _uploaded(session: Session) -> list[Dataset]:
    return list(session.scalars(select(Dataset).order_by(Dataset.created_at.desc())))


def origins(session: Session, form: Mapping[str, str]) -> dict[str, Run]:
    """Runs whose model a form may start from: the newest that left one, and the one it names."""
    done = session.scalars(select(Run).where(Run.state.in_(OVER)).order_by(Run.ended_at.desc()).limit(RECENT))
    found = [run for run in done if run.kind != "starter" and runs.left_a_model(session, run)][:3]
    named = form.get("model", "").removeprefix("run:") if form.get("model", "").startswith("run:") else ""
    try:
        also = session.get(Run, UUID(named)) if named else None
    except ValueError:
        also = None
    return {f"run:{run.id}": run for run in [*([also] if also else []), *found]}


# What was typed


@dataclass(frozen=True)
class Order:
    """What came with one sending of the form."""

    request: Request
    session: Session
    stock: Stock
    form: dict[str, str]
    assessment: Assessment | None
    trial: Trial | None
    failed: Sequence[Check] = ()
    """Of the checks that were made before it."""

    @property
    def advice(self) -> Recommendation | None:
        return _advice(self.assessment) if self.assessment else None

    @property
    def chosen(self) -> launch_defaults.Chosen:
        return launch_words.chosen_in(self.form, self.stock.models, self.stock.datasets)


@router.post("/assessments/{assessment_id}/launch")
def post_advised(
    request: Request,
    stock: StockDep,
    form: Typed,
    trial: TrialDep,
    failed: FailedDep,
    assessment: AssessmentDep,
    session: SessionDep,
    settings: SettingsDep,
    sweep: SweepDep,
    tasks: BackgroundTasks,
) -> Response:
    order = Order(request, session, stock, form, assessment, trial, failed)
    return _settle(order, settings, sweep, tasks)


@router.post("/runs/new")
def post_freely(
    request: Request,
    stock: StockDep,
    form: Typed,
    trial: TrialDep,
    failed: FailedDep,
    session: SessionDep,
    settings: SettingsDep,
    sweep: SweepDep,
    tasks: BackgroundTasks,
) -> Response:
    order = Order(request, session, stock, form, None, trial, failed)
    return _settle(order, settings, sweep, tasks)


def _settle(order: Order, settings: SettingsDep, sweep: SweepDep, tasks: BackgroundTasks) -> Response:
    match order.form.get("action"):
        case "launch":
            return _launch(order, settings, sweep, tasks)
        case "probe":
            return _probe_first(order, settings, sweep, tasks)
    return _answer(order)


def _answer(order: Order) -> Response:
    action = order.form.get("action")
    if action == "change":
        return _again(order, order.form)
    fits = order.form.get("settled_for") == launch_words.settled_for(order.chosen)
    if action == "refresh" or not fits:
        return _refit(order, said=not fits and action != "refresh")
    reading = _read(order)
    return _again(order, order.form, reading.problems) if reading.problems else _confirm(order, reading.specs)


def _refit(order: Order, said: bool) -> Response:
    """Settings for another method, model or dataset; what describes the run itself stays as typed."""
    form = order.form
    fitting = launch_defaults.fitting(order.chosen, order.advice)
    before = launch_words.settled_before(form.get("settled_for", ""), order.stock.datasets)
    if before is not None:
        usual = launch_defaults.fitting(before, order.advice)
        fitting = {name: form[name] if _is_own(form, usual, name) else fit for name, fit in fitting.items()}
    notice = (
        "You chose another method, model, dataset or tuning. Look them over, then continue." if said else ""
    )
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
    starts = {value: run.spec for value, run in origins(order.session, order.form).items()}
    reading = launch_form.read(order.form, launch_form.Offers(starts, _stored(order.session)))
    reading.problems += _reason_problems(order)
    reading.problems += _misfits(order, reading.specs)
    return reading


def _reason_problems(order: Order) -> list[Problem]:
    reason = order.form.get("override_reason", "").strip()
    if len(reason) > launch_form.LONGEST_REASON:
        most = launch_form.LONGEST_REASON
        return [Problem(where="override_reason", what=f"Shorten it to {most} characters.")]
    if order.advice and _must_explain(order.form, order.advice) and not reason:
        sentence = launch_words.override(order.form.get("plan", ""), order.advice)
        return [Problem(where="override_reason", what=f"{sentence} Say why.")]
    return []


def _misfits(order: Order, specs: Sequence[RunSpec]) -> list[Problem]:
    """What does not go together, as far as the worker told: method and data, tuning and device."""
    found = []
    for spec in specs:
        pairs = spec.recipe.kind == "reward_model" and len(specs) > 1
        key = order.form.get("pairs" if pairs else "dataset", "").partition(":")[2]
        if why := launch_words.unfit(spec, order.stock.datasets.get(key)):
            found.append(Problem(where="pairs" if pairs else "dataset", what=why))
        found += [
            Problem(
                where=f"{spec.recipe.kind}.advanced", what=f"{each.where.rsplit('.', 1)[-1]}: {each.what}."
            )
            for each in problems_with_advanced(spec.recipe)
        ]
    if order.form.get("tuning") == "qlora" and order.stock.device and order.stock.device.kind != "cuda":
        what = f"QLoRA needs a CUDA GPU, and this worker trains on {order.stock.device.name}. Choose LoRA."
        found.append(Problem(where="tuning", what=what))
    return found


def _must_explain(form: Mapping[str, str], advice: Recommendation) -> bool:
    return not is_as_advised(advice, launch_form.PLANS.get(form.get("plan", ""), ()))


# What will happen, and making it happen


def _confirm(order: Order, specs: list[RunSpec]) -> Response:
    names = named_datasets.names(order.session)
    explain = order.advice and _must_explain(order.form, order.advice)
    own = ("action", "key", "preflight", "preflight_reason")
    kept = {key: value for key, value in order.form.items() if key not in own}
    return render(
        order.request,
        "launch_confirm.html",
        action=order.request.url.path,
        title=order.form.get("name", ""),
        opening=launch_promises.opening(len(specs), order.stock.known),
        stages=launch_promises.stage_words(order.session, specs, order.stock.datasets, names),
        trial=order.trial,
        override={
            "sentence": launch_words.override(order.form.get("plan", ""), order.advice),
            "reason": order.form.get("override_reason", ""),
        }
        if explain and order.advice
        else None,
        form=kept,
        in_spite_of=override(order.failed) if order.failed else "",
        preflight=order.form.get("preflight", ""),
        key=str(uuid4()),
    )


def _launch(order: Order, settings: SettingsDep, sweep: SweepDep, tasks: BackgroundTasks) -> Response:
    reading = _read(order)
    if reading.problems:
        return _again(order, order.form, reading.problems)
    if order.failed and not order.form.get("preflight_reason", "").strip():
        return _confirm(order, reading.specs)
    try:
        launched, _ = runs.launch(
            order.session,
            reading.specs,
            settings,
            assessment=order.assessment,
            override_reason=explained(order.form, order.failed),
            key=f"form/{order.form.get('key', '')[:64]}" if order.form.get("key") else None,
        )
    except (InvalidInput, RateLimited, Conflict) as error:
        problems = [Problem(where=_field(each.where), what=each.what) for each in error.problems]
        return _again(order, order.form, problems or [Problem(where="", what=error.sentence)])
    for run in launched:
        run.priority = reading.priority
    tasks.add_task(sweep.wake)
    return RedirectResponse(f"/runs/{launched[0].id}", 303)


def _probe_first(order: Order, settings: SettingsDep, sweep: SweepDep, tasks: BackgroundTasks) -> Response:
    """Of what the form is about to train: the same model, data and grader, sampled as its rollouts are."""
    reading = _read(order)
    wrong = [each for each in reading.problems if each.where != "override_reason"]
    graded = next((spec for spec in reversed(reading.specs) if spec.grader), None)
    if wrong or graded is None:
        lacking = Problem(where="grader", what="A probe needs a grader: choose how an answer is graded.")
        return _again(order, order.form, wrong or [lacking])
    asked = probe_form.before(graded, order.form.get("name", ""))
    launched, _ = runs.launch(order.session, [asked], settings, assessment=order.assessment)
    tasks.add_task(sweep.wake)
    return RedirectResponse(f"/runs/{launched[0].id}", 303)


def _field(where: str) -> str:
    """`plan.1.dataset` is the form's `dataset`, `plan.1.evaluation.guard.dataset` its `guard.dataset`."""
    *_, before, last = ("", *where.split("."))
    return f"guard.{last}" if before == "guard" else last
