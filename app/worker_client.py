"""The worker as seen from the web, and the one place where its failures are put in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.errors import BY_NAME, NotFound, Problem, TuningForkError, Unavailable, WorkerAway
from app.protocol import (
    Artifact,
    BroughtFile,
    DatasetOrder,
    DatasetRef,
    DatasetSummary,
    EventPage,
    FirstBatchRequest,
    FirstBatchState,
    GradeRequest,
    HeldOut,
    Limits,
    ListedFile,
    Look,
    ModelSummary,
    Outcome,
    PlaygroundQuestion,
    Preflight,
    PreflightRequest,
    Prioritize,
    ProfileOrder,
    Reading,
    Resume,
    RowsPage,
    RunSpec,
    RunStatus,
    Source,
    Trial,
    TrialReport,
    WorkerHealth,
)

T = TypeVar("T")

QUICK = httpx.Timeout(10, connect=3)
AT_ONCE = httpx.Timeout(4, connect=2)
"""For somebody who waits for a page: it shows what is known rather than nothing."""
PLAY = httpx.Timeout(30, connect=3)
"""The worker says every two seconds that it still waits for the models."""
UPLOAD = httpx.Timeout(600, connect=3)
"""The worker answers only after it has read and judged every row, or fetched them from the hub."""
PROFILE = httpx.Timeout(60, connect=3)
"""A generated dataset is made and looked through when it is first asked for."""

JSON = {"content-type": "application/json"}

STATUSES: TypeAdapter[list[RunStatus]] = TypeAdapter(list[RunStatus])
BROUGHT: TypeAdapter[BroughtFile] = TypeAdapter(BroughtFile)
FILES: TypeAdapter[list[ListedFile]] = TypeAdapter(list[ListedFile])
SUMMARY: TypeAdapter[DatasetSummary] = TypeAdapter(DatasetSummary)
SUMMARIES: TypeAdapter[list[DatasetSummary]] = TypeAdapter(list[DatasetSummary])
MODELS: TypeAdapter[list[ModelSummary]] = TypeAdapter(list[ModelSummary])
ARTIFACTS: TypeAdapter[list[Artifact]] = TypeAdapter(list[Artifact])
OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


class Refusal(BaseModel):
    """The worker's problem+json, as far as it is raised again here."""

    error: str
    detail: str
    problems: list[Problem] = []


class WorkerClient:
    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        if not token:
            raise ValueError("the worker's token is empty; set TUNING_FORK_WEB_WORKER_TOKEN")
        self.url = url
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=QUICK,
            transport=transport,
            follow_redirects=False,
            trust_env=False,
            verify=url.startswith("https:"),  # reading all certificates takes a while
            limits=httpx.Limits(max_connections=40, max_keepalive_connections=10, keepalive_expiry=30),
        )

    def close(self) -> None:
        self._http.close()

    def health(self) -> WorkerHealth:
        return _read(TypeAdapter(WorkerHealth), self._ask("GET", "/health"))

    def runs(self) -> list[RunStatus]:
        return _read(STATUSES, self._ask("GET", "/runs"))

    def put_run(self, run_id: UUID, spec: RunSpec) -> RunStatus:
        body = spec.model_dump_json(by_alias=True).encode()
        return _read(TypeAdapter(RunStatus), self._ask("PUT", f"/runs/{run_id}", content=body, headers=JSON))

    def run(self, run_id: UUID) -> RunStatus:
        return _read(TypeAdapter(RunStatus), self._ask("GET", f"/runs/{run_id}"))

    def events(
        self, run_id: UUID, after: int, limit: int = 1000, timeout: httpx.Timeout = QUICK
    ) -> EventPage:
        wanted = {"after": after, "limit": limit}
        page = self._ask("GET", f"/runs/{run_id}/events", params=wanted, timeout=timeout)
        return _read(TypeAdapter(EventPage), page)

    def cancel(self, run_id: UUID) -> RunStatus:
        return _read(TypeAdapter(RunStatus), self._ask("POST", f"/runs/{run_id}/cancel"))

    def pause(self, run_id: UUID) -> RunStatus:
        return _read(TypeAdapter(RunStatus), self._ask("POST", f"/runs/{run_id}/pause"))

    def resume(self, run_id: UUID, limits: Limits | None = None) -> RunStatus:
        body = Resume(limits=limits).model_dump_json().encode()
        answer = self._ask("POST", f"/runs/{run_id}/resume", content=body, headers=JSON)
        return _read(TypeAdapter(RunStatus), answer)

    def prioritize(self, run_id: UUID, priority: int) -> RunStatus:
        body = Prioritize(priority=priority).model_dump_json().encode()
        answer = self._ask("POST", f"/runs/{run_id}/priority", content=body, headers=JSON)
        return _read(TypeAdapter(RunStatus), answer)

    def delete_run(self, run_id: UUID) -> None:
        self._forget(f"/runs/{run_id}")

    def artifacts(self, run_id: UUID) -> list[Artifact]:
        return _read(ARTIFACTS, self._ask("GET", f"/runs/{run_id}/artifacts"))

    def artifact(self, run_id: UUID, name: str) -> Iterator[bytes]:
        """The file in parts; `name` must come from `artifacts`. Refusals are raised before the first part."""
        return self._stream("GET", f"/runs/{run_id}/artifacts/{name}")

    def log(self, run_id: UUID, tail: int = 200) -> str:
        return self._ask("GET", f"/runs/{run_id}/log", params={"tail": tail}).text

    def put_file(self, sha256: str, content: IO[bytes], name: str, source: str) -> BroughtFile:
        """A file to be looked at and read; the worker keeps it for a day."""
        answer = self._ask(
            "PUT",
            f"/files/{sha256}",
            params={"name": name, "source": source},
            content=iter(lambda: content.read(1 << 16), b""),
            headers={"content-type": "application/octet-stream"},
            timeout=UPLOAD,
        )
        return _read(BROUGHT, answer)

    def bring(self, source: Source) -> BroughtFile:
        return _read(BROUGHT, self._post("/files", source))

    def file(self, sha256: str) -> BroughtFile:
        return _read(BROUGHT, self._ask("GET", f"/files/{sha256}"))

    def local_files(self) -> list[ListedFile]:
        return _read(FILES, self._ask("GET", "/files"))

    def look(self, sha256: str, reading: Reading) -> Look:
        return _read(TypeAdapter(Look), self._post(f"/files/{sha256}/look", reading))

    def read_dataset(self, order: DatasetOrder) -> DatasetSummary:
        return _read(SUMMARY, self._post("/datasets", order))

    def rows(self, ref: DatasetRef, offset: int, limit: int, *, whole: bool = False) -> RowsPage:
        path, wanted = f"/datasets/{_key(ref)}/rows", {"offset": offset, "limit": limit, "whole": whole}
        return _read(TypeAdapter(RowsPage), self._ask("GET", path, params=wanted, timeout=PROFILE))

    def held_out(self, sha256: str, items: int) -> HeldOut:
        answer = self._ask("GET", f"/datasets/{sha256}/split", params={"items": items})
        return _read(TypeAdapter(HeldOut), answer)

    def profile_dataset(self, sha256: str, order: ProfileOrder) -> DatasetSummary:
        return _read(SUMMARY, self._post(f"/datasets/{sha256}/profile", order))

    def repair_dataset(self, sha256: str) -> DatasetSummary:
        return _read(SUMMARY, self._ask("POST", f"/datasets/{sha256}/repair", timeout=UPLOAD))

    def datasets(self) -> list[DatasetSummary]:
        return _read(SUMMARIES, self._ask("GET", "/datasets"))

    def dataset(self, ref: DatasetRef) -> DatasetSummary:
        return _read(SUMMARY, self._ask("GET", f"/datasets/{_key(ref)}", timeout=PROFILE))

    def delete_dataset(self, sha256: str) -> None:
        self._forget(f"/datasets/{sha256}")

    def models(self) -> list[ModelSummary]:
        return _read(MODELS, self._ask("GET", "/models"))

    def play(self, run_id: UUID, question: PlaygroundQuestion) -> Iterator[bytes]:
        """JSON lines of `PlaygroundLine`, in parts as they come; closing it early stops the answers."""
        body = question.model_dump_json().encode()
        return self._stream("POST", f"/runs/{run_id}/playground", content=body, headers=JSON, timeout=PLAY)

    def put_preflight(self, preflight_id: UUID, request: PreflightRequest) -> Preflight:
        body = request.model_dump_json(by_alias=True).encode()
        answer = self._ask("PUT", f"/preflights/{preflight_id}", content=body, headers=JSON)
        return _read(TypeAdapter(Preflight), answer)

    def preflight(self, preflight_id: UUID) -> Preflight:
        return _read(TypeAdapter(Preflight), self._ask("GET", f"/preflights/{preflight_id}"))

    def cancel_preflight(self, preflight_id: UUID) -> None:
        self._ask("DELETE", f"/preflights/{preflight_id}")

    def first_batch(self, spec: RunSpec) -> FirstBatchState:
        """To be asked again while it is `running`."""
        body = FirstBatchRequest(spec=spec).model_dump_json(by_alias=True).encode()
        return _read(
            TypeAdapter(FirstBatchState), self._ask("POST", "/first-batches", content=body, headers=JSON)
        )

    def grade(self, request: GradeRequest) -> Outcome:
        body = request.model_dump_json(by_alias=True).encode()
        return _read(OUTCOME, self._ask("POST", "/grade", content=body, headers=JSON))

    def try_grader(self, trial: Trial, seconds: float = 10) -> TrialReport:
        """Raises InvalidInput with every problem of the grader, under `grader`; without answers just that."""
        body = trial.model_dump_json(by_alias=True).encode()
        timeout = httpx.Timeout(seconds, connect=3)
        answer = self._ask("POST", "/graders/try", content=body, headers=JSON, timeout=timeout)
        return _read(TypeAdapter(TrialReport), answer)

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        with reaching_the_worker():
            answer = self._http.request(method, path, **more)
        _refuse_errors(answer)
        return answer

    def _stream(self, method: str, path: str, **more: Any) -> Iterator[bytes]:
        with reaching_the_worker():
            asked = self._http.build_request(method, path, **more)
            answer = self._http.send(asked, stream=True)
            if answer.is_error:
                answer.read()
        _refuse_errors(answer)
        return _parts(answer)

    def _post(self, path: str, body: BaseModel) -> httpx.Response:
        content = body.model_dump_json(by_alias=True).encode()
        return self._ask("POST", path, content=content, headers=JSON, timeout=UPLOAD)

    def _forget(self, path: str) -> None:
        """Deleting twice is deleting once."""
        try:
            self._ask("DELETE", path)
        except NotFound:
            return


@contextmanager
def reaching_the_worker() -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise WorkerAway("The worker did not answer in time. Runs already on it go on.") from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise WorkerAway from error


def _key(ref: DatasetRef) -> str:
    return ref.sha256 if ref.kind == "uploaded" else ref.name


def _parts(answer: httpx.Response) -> Iterator[bytes]:
    try:
        with reaching_the_worker():
            yield from answer.iter_bytes()
    finally:
        answer.close()


def _refuse_errors(answer: httpx.Response) -> None:
    """Raise the worker's refusal again under its own class; what is not its refusal is its absence.

    Unavailable refuses this one request, as a full disk does a write: whatever else is asked goes on.
    """
    if answer.is_success:
        return
    if answer.status_code in (401, 403):
        raise WorkerAway(
            "The worker refused the web's token; give both services the same one (TUNING_FORK_WORKER_TOKEN)."
        )
    try:
        refusal = Refusal.model_validate_json(answer.content)
    except ValidationError:
        raise WorkerAway(
            f"Something other than the worker answers at its address (status {answer.status_code})."
        ) from None
    error = BY_NAME.get(refusal.error, TuningForkError)
    if error.status >= 500 and error is not Unavailable:
        raise WorkerAway(f"The worker could not do this: {refusal.detail}")
    raise error(refusal.detail, tuple(refusal.problems))


def _read(adapter: TypeAdapter[T], answer: httpx.Response) -> T:
    try:
        return adapter.validate_json(answer.content)
    except ValidationError as error:
        raise WorkerAway(
            "The worker's answer could not be read; are web and worker of the same version?"
        ) from error
