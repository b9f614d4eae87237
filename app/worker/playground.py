"""The playground over HTTP: one question, both answers as a stream of JSON lines."""

from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from app.http_json import StrictRoute
from app.protocol import PlaygroundQuestion, RunId
from app.worker.parts import PartsDep
from app.worker.playgrounds import Answer

router = APIRouter(prefix="/runs", route_class=StrictRoute)

JSON_LINES = "application/x-ndjson"


@router.post("/{run_id}/playground")
async def ask_both(run_id: RunId, question: PlaygroundQuestion, parts: PartsDep) -> StreamingResponse:
    """Ends with `finished` or `trouble`. Whoever hangs up stops the answers."""
    answer = await run_in_threadpool(parts.playgrounds.ask, run_id, question)
    return StreamingResponse(_flowing(answer), media_type=JSON_LINES)


async def _flowing(answer: Answer) -> AsyncIterator[str]:
    try:
        while (line := await run_in_threadpool(answer.next)) is not None:
            yield line + "\n"
    finally:
        answer.close()
