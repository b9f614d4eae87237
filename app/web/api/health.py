"""Whether the service lives, and whether it can work."""

from fastapi import APIRouter
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.errors import Unavailable
from app.web.deps import DatabaseDep

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Whether the service lives")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz", summary="Whether it can work")
def readyz(database: DatabaseDep) -> dict[str, str]:
    try:
        with database.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        raise Unavailable("The database does not answer.") from None
    return {"status": "ready"}
