"""The playground: the model a run started from and the one it made answer the same question, streamed."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import APIRouter, Body
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from app.http_json import StrictRoute
from app.protocol import PlaygroundQuestion
from app.web.api.examples import QUESTIONS
from app.web.deps import RunDep, WorkerDep

router = APIRouter(tags=["runs"], route_class=StrictRoute)


@router.post(
    "/runs/{run_id}/playground",
    summary="Ask a run's base and tuned model the same thing",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
def ask_both(
    run: RunDep, question: Annotated[PlaygroundQuestion, Body(openapi_examples=QUESTIONS)], worker: WorkerDep
) -> StreamingResponse:
    """JSON lines as they come: `waiting` while the models are loaded, `asked`, `token` for either `side`,
    `answered` once for each, and at the end `finished`, or `trouble` with a sentence. Hanging up stops it."""
    return StreamingResponse(
        relayed(worker.play(run.id, question)),
        media_type="application/x-ndjson",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def relayed(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Closes the worker's stream as soon as nobody listens to this one."""
    try:
        while part := await run_in_threadpool(next, parts, b""):
            yield part
    finally:
        await run_in_threadpool(_close, parts)


def _close(parts: Iterator[bytes]) -> None:
    close = getattr(parts, "close", None)
    if close:
        close()
