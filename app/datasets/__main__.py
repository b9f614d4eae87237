"""Reads a brought file in a process of its own: `python -m app.datasets look|read|repair|profile FILE TASK`.

The file is a stranger's: the process caps its own memory, time and output, streams the rows, and leaves
what it found in the task's folder. Exit status 3 says that the memory did not suffice.
"""

import sys
from pathlib import Path

from app.datasets import kept
from app.datasets.reading import look, read
from app.datasets.task import Refusal, Task, hold_to
from app.errors import InvalidInput

OUT_OF_MEMORY = 3


def main(verb: str, file: Path, task: Task) -> None:
    hold_to(task.limits)
    if verb == "look":
        (task.folder / kept.LOOK).write_text(look(file, task).model_dump_json())
    elif verb == "repair":
        from app.datasets.repairing import repair

        repair(file, task)
    else:
        if verb == "read":
            read(file, task)
        # A look does without the libraries that this needs.
        from app.datasets.profiling import profile

        profile(task)


def _run(verb: str, file: str, given: str) -> int:
    task = Task.model_validate_json(given)
    try:
        main(verb, Path(file), task)
    except InvalidInput as refused:
        told = Refusal(sentence=refused.sentence, problems=list(refused.problems))
        (task.folder / kept.REFUSAL).write_text(told.model_dump_json())
    except MemoryError:
        return OUT_OF_MEMORY
    return 0


if __name__ == "__main__":
    sys.exit(_run(*sys.argv[1:]))
