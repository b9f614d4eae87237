"""Signing in with the one-time link, and signing out."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from starlette.responses import RedirectResponse

from app.errors import NotSignedIn, Problem
from app.settings import WebSettings
from app.web import security
from app.web.deps import PartsDep, SessionDep, SettingsDep, render

router = APIRouter()


@router.get("/login")
def login_page(request: Request, next: str = "") -> Response:
    """The link carries the token after `#`, which no server or log sees; a script posts it from there."""
    if request.state.principal is not None:
        return RedirectResponse(security.local_path(next), status_code=303)
    return render(request, "login.html", next=security.local_path(next, otherwise=""))


@router.post("/login")
def login(
    request: Request,
    parts: PartsDep,
    session: SessionDep,
    token: Annotated[str, Form(max_length=200)] = "",
    next: Annotated[str, Form(max_length=3000)] = "",
) -> Response:
    parts.login_limiter.take(address(request))
    previous = request.cookies.get(security.cookie_name(parts.settings))
    try:
        secret = security.sign_in(session, parts.settings, token, previous)
    except NotSignedIn as error:
        problems = (Problem(where="token", what=error.sentence),)
        return render(
            request, "login.html", 401, next=security.local_path(next, otherwise=""), problems=problems
        )
    response = RedirectResponse(security.local_path(next), status_code=303)
    _set_cookie(response, parts.settings, secret)
    return response


@router.post("/logout")
def logout(request: Request, session: SessionDep, settings: SettingsDep) -> Response:
    name = security.cookie_name(settings)
    security.sign_out(session, request.cookies.get(name))
    response = RedirectResponse("/", status_code=303)
    response.delete_cookie(name, path="/", secure=security.is_https(settings), httponly=True, samesite="lax")
    return response


def address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _set_cookie(response: Response, settings: WebSettings, secret: str) -> None:
    response.set_cookie(
        security.cookie_name(settings),
        secret,
        max_age=int(settings.session_days * 86_400),
        path="/",
        secure=security.is_https(settings),
        httponly=True,
        samesite="lax",
    )
