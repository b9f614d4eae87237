"""Who may come in: login links, browser sessions and API keys, and what each request must show for itself."""

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.database import now
from app.errors import NotFound, NotSignedIn, RateLimited
from app.models import ApiKey, BrowserSession, LoginToken
from app.settings import WebSettings

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

API_KEY = re.compile(r"tf_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")

SEEN_AGAIN_AFTER = timedelta(minutes=1)
"""`last seen` is written at most this often, so that reading a page does not cost a write."""


@dataclass(frozen=True)
class Principal:
    """Who asks: the owner in a browser, a program with a key, or anybody at all where sign-in is off."""

    kind: Literal["browser", "key", "open"]
    name: str = ""


# Login links. A token is 256 random bits, so a plain hash cannot be searched.


def new_login_token(session: Session, settings: WebSettings) -> str:
    session.execute(delete(LoginToken).where(LoginToken.expires_at < now() - timedelta(days=1)))
    token = secrets.token_urlsafe(32)
    expires_at = now() + timedelta(hours=settings.login_link_hours)
    session.add(LoginToken(hash=hashed(token), expires_at=expires_at))
    return token


def sign_in(session: Session, settings: WebSettings, token: str, previous: str | None = None) -> str:
    """Exchange a login token, once, for a new session; the session the browser had before ends."""
    found = session.get(LoginToken, hashed(token.strip()), with_for_update=True)
    if found is None or found.used_at is not None or found.expires_at <= now():
        raise NotSignedIn(
            "This login link was used before or has expired; `tuning-fork login-link` prints a new one."
        )
    found.used_at = now()
    sign_out(session, previous)
    session.execute(delete(BrowserSession).where(BrowserSession.expires_at < now()))
    secret = secrets.token_urlsafe(32)
    session.add(BrowserSession(hash=hashed(secret), expires_at=now() + timedelta(days=settings.session_days)))
    return secret


def sign_out(session: Session, secret: str | None) -> None:
    if secret:
        session.execute(delete(BrowserSession).where(BrowserSession.hash == hashed(secret)))


# API keys


def new_key(session: Session, name: str, days: float) -> tuple[ApiKey, str]:
    """The row and, this once, the key itself."""
    key_id = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(8))
    secret = secrets.token_urlsafe(32)
    row = ApiKey(id=key_id, name=name, hash=hashed(secret), expires_at=now() + timedelta(days=days))
    session.add(row)
    session.flush()
    return row, f"tf_{key_id}_{secret}"


def revoke_key(session: Session, key_id: str) -> ApiKey:
    row = session.get(ApiKey, key_id)
    if row is None:
        raise NotFound(f"There is no API key `{key_id}`; `tuning-fork key list` shows them.")
    row.revoked_at = row.revoked_at or now()
    return row


def state_of(key: ApiKey) -> Literal["valid", "revoked", "expired"]:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at <= now() else "valid"


# Recognising a request


def recognise_key(session: Session, given: str) -> tuple[Principal, bool]:
    """The principal, and whether its last use should be noted."""
    parts = API_KEY.fullmatch(given)
    row = session.get(ApiKey, parts[1]) if parts else None
    secret_hash = hashed(parts[2]) if parts else ""
    if row is None or not hmac.compare_digest(row.hash, secret_hash):
        raise NotSignedIn("This API key is not known; `tuning-fork key create` makes one.")
    if row.revoked_at is not None or row.expires_at <= now():
        raise NotSignedIn("This API key was revoked or has expired; `tuning-fork key create` makes another.")
    return Principal("key", row.name), _is_stale(row.last_used_at)


def note_key(session: Session, given: str) -> None:
    row = session.get(ApiKey, given.split("_")[1])
    if row is not None:
        row.last_used_at = now()


def recognise_session(session: Session, settings: WebSettings, secret: str) -> tuple[Principal | None, bool]:
    """The principal or None, and whether its last visit should be noted."""
    row = session.get(BrowserSession, hashed(secret))
    idle = timedelta(hours=settings.session_idle_hours)
    if row is None or row.expires_at <= now() or row.last_seen_at + idle <= now():
        return None, False
    return Principal("browser"), _is_stale(row.last_seen_at)


def note_session(session: Session, secret: str) -> None:
    row = session.get(BrowserSession, hashed(secret))
    if row is not None:
        row.last_seen_at = now()


def _is_stale(seen: datetime | None) -> bool:
    return seen is None or now() - seen > SEEN_AGAIN_AFTER


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


# Addresses


def cookie_name(settings: WebSettings) -> str:
    return "__Host-tuning_fork_sid" if is_https(settings) else "tuning_fork_sid"


def is_https(settings: WebSettings) -> bool:
    return settings.public_url.startswith("https://")


def allowed_hosts(settings: WebSettings) -> frozenset[str]:
    own = {settings.host} - {"0.0.0.0", "::"}
    public = {urlsplit(settings.public_url).hostname or ""} - {""}
    return LOOPBACK | {host.lower() for host in own | public | set(settings.allowed_hosts)}


def own_origin(settings: WebSettings, host: str) -> str:
    """The origin our own pages have: the public address, or the (allowed) host that was asked."""
    public = urlsplit(settings.public_url)
    return f"{public.scheme}://{public.netloc}" if public.netloc else f"http://{host}"


def local_path(given: str | None, otherwise: str = "/home") -> str:
    """Where to go after signing in: a path on this site, whatever was asked for."""
    if given and re.fullmatch(r"/(?![/\\])[!-\[\]-~]{0,2000}", given):
        return given
    return otherwise


class Limiter:
    """So many anonymous requests a minute and address, counted in this process; 0 means no limit."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = 0
        self._taken: dict[str, int] = {}

    def take(self, address: str) -> None:
        if not self._per_minute:
            return
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._taken = minute, {}
        self._taken[address] = self._taken.get(address, 0) + 1
        if self._taken[address] > self._per_minute:
            raise RateLimited(f"More than {self._per_minute} requests a minute; wait and try again.")
