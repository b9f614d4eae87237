"""A recommendation as JSON, four fifths of which never change and are ready before anybody asks."""

from collections.abc import Iterable, Sequence

from app.advisor.advice import Recommendation
from app.protocol import Message

READY = ("blockers", "gates", "contributions", "risks", "alternatives")
"""The last fields of a recommendation, in their order."""

_APART = set(READY)
_write = Recommendation.__pydantic_serializer__.to_json


class Rendering:
    """Gates, contributions, risks and roads as they leave the rulebook, rendered once at start-up."""

    def __init__(self, fixed: Iterable[Message]) -> None:
        # Known by identity; kept here, so that no identity is ever used again.
        self.fixed = tuple(fixed)
        self.known = {id(one): _rendered(one) for one in self.fixed}

    def to_json(self, advice: Recommendation) -> bytes:
        """The same bytes as `advice.model_dump_json()`, in less than half of the time."""
        parts = [_write(advice, exclude=_APART)[:-1]]
        for name in READY:
            parts += (b',"', name.encode(), b'":[', self._list(advice.__dict__[name]), b"]")
        parts.append(b"}")
        return b"".join(parts)

    def _list(self, entries: Sequence[Message]) -> bytes:
        known = self.known
        return b",".join([known.get(id(entry)) or _rendered(entry) for entry in entries])


def _rendered(message: Message) -> bytes:
    return message.__pydantic_serializer__.to_json(message)
