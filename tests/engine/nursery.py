"""Engines born ready: importing the training libraries takes ten times as long as training a micro model."""

import os
import sys

from app.engine import __main__ as engine
from app.run_dir import RunDir
from app.worker.launchers.local import environment
from tests import nursery


class Nursery(nursery.Nursery):
    def __init__(self) -> None:
        given = environment(1, "cpu", online=False) | {"PYTHONPATH": os.getcwd()}
        super().__init__("tests.engine.nursery", given)

    def engine(self, run_dir: RunDir, lock: int) -> nursery.Born:
        with run_dir.log_file.open("ab") as log:
            return self.birth(str(run_dir.path), [lock, log.fileno()])


def _be_an_engine(path: str, files: list[int]) -> int:
    """As the worker's launcher would have it; the lock stays open for as long as this process lives."""
    _, log = files
    os.setsid()
    os.umask(0o077)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.chdir(path)
    return engine.main(path)


if __name__ == "__main__":
    os.environ.update(engine.QUIET)
    from app.engine import grpo, probe, reward_model, sft  # noqa: F401 - what this is for

    nursery.keep(int(sys.argv[1]), _be_an_engine)
