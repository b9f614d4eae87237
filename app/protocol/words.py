"""The words that all messages share: the closed, strict base, names, hashes, shares, methods."""

import unicodedata
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

RunId = Annotated[UUID, Field(strict=False)]

INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Unicode categories: control, formatting (direction, zero width), surrogates, private use, separators."""


def _plain(text: str) -> str:
    """Names are compared by eye: nothing invisible in them, and one spelling of each letter."""
    unwanted = next((c for c in text if unicodedata.category(c) in INVISIBLE), None)
    if unwanted:
        raise ValueError(f"a name cannot hold the invisible character U+{ord(unwanted):04X}; remove it")
    return unicodedata.normalize("NFC", text)


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=120),
    AfterValidator(_plain),
]

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

ShareOfOne = Annotated[float, Field(ge=0, le=1)]


class Message(BaseModel):
    """Base of everything that crosses a process boundary: closed, immutable, strict, finite numbers only."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, serialize_by_alias=True
    )


class Method(StrEnum):
    SFT = "sft"
    GRPO = "grpo"
