"""Pages that bring an exported decision in."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import UploadFile
from starlette.responses import RedirectResponse

from app.errors import InvalidInput, Problem
from app.web.deps import PartsDep, SessionDep, render
from app.web.imports import RulebookMissing, bring_in, read_file

router = APIRouter()


@dataclass(frozen=True)
class Brought:
    body: bytes = b""
    under_in_force: bool = False


async def brought(request: Request) -> Brought:
    async with request.form() as form:
        file, pasted, under = form.get("file"), form.get("pasted"), form.get("under")
        body = await file.read() if isinstance(file, UploadFile) else b""
    if not body and isinstance(pasted, str):
        body = pasted.encode("utf-8", "surrogatepass")
    return Brought(body, under == "in_force")


@router.get("/assessments/import")
def import_page(request: Request) -> Response:
    return _page(request, Brought())


@router.post("/assessments/import")
def import_file(
    request: Request, session: SessionDep, parts: PartsDep, brought: Annotated[Brought, Depends(brought)]
) -> Response:
    try:
        file = read_file(brought.body)
        imported = bring_in(session, parts.rulebooks, file, brought.under_in_force)
    except RulebookMissing as error:
        return _page(request, brought, 409, missing=error.sentence)
    except InvalidInput as error:
        return _page(request, brought, 422, error.problems)
    return RedirectResponse(f"/assessments/{imported.assessment.id}/record?number=1", 303)


def _page(
    request: Request,
    brought: Brought,
    status: int = 200,
    problems: tuple[Problem, ...] = (),
    missing: str = "",
) -> Response:
    told = [Problem(where="pasted", what=f"{each.where}: {each.what}") for each in problems]
    return render(
        request,
        "assessments_import.html",
        status,
        pasted=brought.body.decode("utf-8", "replace"),
        problems=told,
        missing=missing,
    )
