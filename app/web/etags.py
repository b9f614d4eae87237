"""Revisions over HTTP: what a client read is named by an ETag, and If-Match says what it changes."""

import re
from hashlib import sha256

from pydantic import BaseModel

from app.errors import Malformed

TAG = re.compile(r'(W/)?("[\x21\x23-\x7e]*")')


def of_revision(revision: int) -> str:
    return f'"{revision}"'


def of_view(view: BaseModel) -> str:
    return f'"{sha256(view.model_dump_json().encode()).hexdigest()[:32]}"'


def matches(given: str | None, etag: str) -> bool:
    """True without a condition, and where the condition names what stands there; weak tags never match."""
    if given is None or given.strip() == "*":
        return True
    tags = TAG.findall(given)
    if not tags or len(given) > 1000:
        raise Malformed('If-Match takes the ETag that was read, in its quotes: If-Match: "3".')
    return any(not weak and tag == etag for weak, tag in tags)
