"""What a failed training is told as: one sentence that names what to change."""

import errno

from app.logs import redacted

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


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
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full; delete runs or datasets on the worker and start the run again."
    return f"The training stopped unexpectedly: {name}: {said or 'no further word'}."


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redacted(lines[0]).rstrip(".")[:400] if lines else ""
