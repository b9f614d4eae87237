"""Revisions over HTTP: what a client read is named by an ETag, and If-Match says what it changes."""

import re
from hashlib import sha256
from json import dumps

from pydantic import BaseModel

from app.errors import Malformed
from app.models import Assessment, Milestone, StoredAnswer

TAG = re.compile(r'(W/)?("[\x21\x23-\x7e]*")')


def token(row: StoredAnswer | None) -> str:
    """Names an answer as it stands. A revision alone would not: answers are withdrawn and begun anew."""
    return f"{row.revision}-{_digest(dumps(row.answer, sort_keys=True))[:12]}" if row else "0"


def weights_token(assessment: Assessment) -> str:
    return _digest(dumps(assessment.weights, sort_keys=True))[:16]


def decision_token(milestone: Milestone) -> str:
    """Names what people decided about a recommendation, as it stands."""
    decided = (milestone.status, milestone.owner, milestone.review_by, milestone.supersedes_id)
    return _digest(dumps([str(each) for each in decided]))[:16]


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def of_answer(row: StoredAnswer | None) -> str:
    return f'"{token(row)}"'


def of_view(view: BaseModel) -> str:
    return f'"{_digest(view.model_dump_json())[:32]}"'


def matches(given: str | None, etag: str) -> bool:
    """True without a condition, and where the condition names what stands there; weak tags never match."""
    if given is None or given.strip() == "*":
        return True
    tags = TAG.findall(given)
    if not tags or len(given) > 1000:
        raise Malformed('If-Match takes the ETag that was read, in its quotes: If-Match: "3".')
    return any(not weak and tag == etag for weak, tag in tags)
