"""Which sandboxes work on this machine. Found out once, by using them."""

from functools import lru_cache
from typing import Literal

from app.protocol import SandboxLimits

SANDBOXES: tuple[Literal["monty", "cage"], ...] = ("monty", "cage")


@lru_cache
def unavailable(sandbox: Literal["monty", "cage"]) -> str:
    """Empty where it works, else the reason why it does not."""
    from app.graders.sandbox import cage, monty

    available = monty.available if sandbox == "monty" else cage.available
    return available(SandboxLimits())


def report() -> dict[str, str]:
    return {sandbox: unavailable(sandbox) for sandbox in SANDBOXES}
