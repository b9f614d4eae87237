"""What a failed training is told as: one sentence that names what to change."""

import errno

from app.logs import redacted

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


DISK_FULL = "The disk is full; delete runs or datasets on the worker and start the run again."

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FULL_SIGNS = ("no space left", "disk quota exceeded", "file too large", "os error 28", "os error 27")
TORN_SIGNS = ("PytorchStreamWriter failed writing", "unexpected pos")
"""What torch says of a write that came to nothing, without the system's reason for it."""


def is_disk_full(error: BaseException) -> bool:
    """Libraries in other languages wrap the system's error in their own, so words count too."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return True
    said = str(error)
    return any(sign in said.lower() for sign in FULL_SIGNS) or any(sign in said for sign in TORN_SIGNS)


def in_a_sentence(error: BaseException) -> str:
    name, said = type(error).__name__, first_line(error)
    if (
        name == "OutOfMemoryError"
        or any(sign in said.lower() for sign in OUT_OF_MEMORY)
        or isinstance(error, MemoryError)
    ):
        return (
            "The memory was not enough; lower micro_batch_size first, then the length limits, "
            "or start from a smaller model."
        )
    if "probability tensor contains" in said:
        return "The training diverged: the model's outputs stopped being numbers. Lower the learning rate."
    if is_disk_full(error):
        return DISK_FULL
    return f"The training stopped unexpectedly: {name}: {said or 'no further word'}."


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redacted(lines[0]).rstrip(".")[:400] if lines else ""
