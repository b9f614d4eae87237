"""The checks before a launch: started from its confirmation, shown as they are made."""

from collections.abc import Mapping, Sequence
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from app.errors import InvalidInput, NotFound, Problem, Unavailable
from app.http_json import problems_of
from app.protocol import Check, CheckName, CheckResult, Preflight, PreflightRequest, RunSpec
from app.strict_json import strict_loads
from app.web.deps import WorkerDep, render
from app.web.launch_form import LONGEST_REASON
from app.web.run_words import count_of, duration, listed

router = APIRouter()

MOST_RUNS = 4
"""Of one plan."""

TITLES = {
    CheckName.MODEL: "Model",
    CheckName.DATASET: "Data",
    CheckName.BATCH: "Batch",
    CheckName.HELD_OUT: "Held out",
    CheckName.REWARD_MODEL: "Reward model",
    CheckName.GRADER: "Grader",
    CheckName.TRACKING: "Tracking",
    CheckName.DISK: "Disk",
    CheckName.SETTINGS: "Settings",
    CheckName.LENGTHS: "Lengths",
    CheckName.MEMORY: "Memory",
    CheckName.SMOKE_STEP: "One real step",
}

MARKS = {
    CheckResult.PASS: ("ok", "Pass"),
    CheckResult.WARN: ("warn", "Warning"),
    CheckResult.FAIL: ("bad", "Fail"),
    CheckResult.NOT_APPLICABLE: ("idle", "Not applicable"),
}

Ids = Annotated[list[UUID], Query(alias="id", min_length=1, max_length=MOST_RUNS)]


async def specs_sent(request: Request) -> list[str]:
    form = await request.form(max_fields=MOST_RUNS + 4)
    return [text for text in form.getlist("spec") if isinstance(text, str)][:MOST_RUNS]


SpecsSent = Annotated[list[str], Depends(specs_sent)]


@router.post("/preflights")
def start(request: Request, sent: SpecsSent, worker: WorkerDep) -> Response:
    """One for each run of a plan. They are given up when nobody looks any more."""
    specs = [spec_of(text) for text in sent]
    if not specs:
        raise InvalidInput("There is no run to check.", (Problem(where="spec", what="is missing; add it"),))
    ids = [uuid4() for _ in specs]
    for preflight_id, spec in zip(ids, specs, strict=True):
        worker.put_preflight(preflight_id, PreflightRequest(spec=spec, while_watched=True))
    if "hx-request" in request.headers:
        return _panel(request, "_preflight.html", _all(worker, ids))
    return RedirectResponse(_address(ids), 303)


@router.get("/preflights")
def show(request: Request, ids: Ids, worker: WorkerDep) -> Response:
    name = "_preflight.html" if "hx-request" in request.headers else "preflight.html"
    return _panel(request, name, _all(worker, ids))


@router.post("/preflights/stop")
def stop(request: Request, ids: Ids, worker: WorkerDep) -> Response:
    for preflight_id in ids:
        worker.cancel_preflight(preflight_id)
    if "hx-request" in request.headers:
        return _panel(request, "_preflight.html", _all(worker, ids))
    return RedirectResponse(_address(ids), 303)


def spec_of(text: str) -> RunSpec:
    """A run as the confirmation page carries it. Raises InvalidInput."""
    try:
        return RunSpec.model_validate(strict_loads(text.encode()))
    except ValidationError as error:
        raise InvalidInput("This run cannot be read.", tuple(problems_of(error.errors()))) from None


def failures(worker: WorkerDep, ids: str) -> list[Check]:
    """What the preflights of a launch found to be wrong; nothing where the worker has forgotten them."""
    found: list[Check] = []
    for each in ids.split()[:MOST_RUNS]:
        try:
            found += worker.preflight(UUID(each)).failed
        except (ValueError, NotFound, Unavailable):
            continue
    return found


async def failed_checks(request: Request, worker: WorkerDep) -> list[Check]:
    """Of the preflights that a launch names; asked before the request's transaction begins."""
    form = await request.form()
    if form.get("action") != "launch" or not form.get("preflight"):
        return []
    return await run_in_threadpool(failures, worker, str(form["preflight"]))


FailedDep = Annotated[list[Check], Depends(failed_checks)]


def explained(form: Mapping[str, str], failed: Sequence[Check]) -> str | None:
    """Why a launch goes against the advice, against failed checks, or both: what the run keeps."""
    reasons = [form.get("override_reason", "").strip()]
    if failed:
        told = " ".join(f"{TITLES[check.name]}: {check.sentence}" for check in failed)
        reasons.append(f"{form.get('preflight_reason', '').strip()} (Overrides failed checks. {told})")
    return "\n".join(reason for reason in reasons if reason)[:LONGEST_REASON] or None


def override(failed: Sequence[Check]) -> str:
    """What a launch in spite of them overrides, in words."""
    names = [TITLES[check.name].lower() for check in failed]
    return f"Launch although {listed(names)} did not pass"


def _all(worker: WorkerDep, ids: Sequence[UUID]) -> list[Preflight]:
    return [worker.preflight(each) for each in ids]


def _address(ids: Sequence[UUID]) -> str:
    return "/preflights?" + "&".join(f"id={each}" for each in ids)


def _panel(request: Request, name: str, preflights: list[Preflight]) -> Response:
    failed = [check for preflight in preflights for check in preflight.failed]
    return render(
        request,
        name,
        preflights=preflights,
        address=_address([preflight.id for preflight in preflights]),
        stop_address=_address([preflight.id for preflight in preflights]).replace("?", "/stop?", 1),
        ids=" ".join(str(preflight.id) for preflight in preflights),
        is_running=any(not preflight.is_over for preflight in preflights),
        lead=lead(preflights),
        override=override(failed) if failed and _is_confirming(request) else "",
        titles=TITLES,
        marks=MARKS,
        duration=duration,
    )


def _is_confirming(request: Request) -> bool:
    """Whether the panel stands on a confirmation, where something can be launched in spite of it."""
    return "/preflights" not in request.headers.get("hx-current-url", "/preflights")


def lead(preflights: Sequence[Preflight]) -> str:
    """One sentence on all of it."""
    running = next((each for each in preflights if not each.is_over), None)
    if running:
        done = sum(len(each.checks) for each in preflights)
        doing = f": {TITLES[running.doing].lower()}" if running.doing else ""
        return f"{done} of {len(preflights) * len(CheckName)} checks made{doing}."
    if any(each.state == "cancelled" for each in preflights):
        return "Stopped before all checks were made."
    failed = sum(len(each.failed) for each in preflights)
    warned = sum(len(each.warned) for each in preflights)
    if failed:
        return f"{count_of(failed, 'check')} failed. The run would most likely fail too."
    if warned:
        return f"Ready, with {count_of(warned, 'warning')}."
    return "Ready: every check passed."
