"""Waits with its imports done, `python -m app.engine.warm SOCKET`, and becomes the engine of a run.

Nothing of a run is known while it waits, and no device is touched: what is imported is the same for all.
"""

import json
import os
import socket
import sys

from app.engine import __main__ as engine

MOST_BYTES = 1 << 20

LOCK_AND_LOG = 2


def main(fd: int) -> int:
    os.environ.update(engine.QUIET)
    # Whether there is a CUDA device is asked while importing; this way of asking leaves it untouched.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    from app.engine import grpo, probe, reward_model, sft, starter  # noqa: F401 - takes seconds: this is its point

    with socket.socket(fileno=fd) as channel:
        channel.sendall(b"ready\n")
        run_dir = _taken(channel)
    return engine.main(run_dir) if run_dir else 0


def _taken(channel: socket.socket) -> str | None:
    """Where the run is that this process now belongs to; None when the worker has stopped."""
    message, given, _, _ = socket.recv_fds(channel, MOST_BYTES, LOCK_AND_LOG)
    if not message:
        return None
    while more := channel.recv(MOST_BYTES):
        message += more
    told = json.loads(message)
    _, log = given  # the lock stays open for as long as this process lives
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.clear()
    os.environ.update(told["environment"])
    os.chdir(told["run_dir"])
    return str(told["run_dir"])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
