"""What is graded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a model answered, to which prompt, and the row's fields that graders know as `item`."""

    text: str
    item: Mapping[str, Any] = field(default_factory=dict)
    prompt: str = ""
