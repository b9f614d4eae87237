"""Trains one run: `python -m app.engine RUN_DIR`. Whatever happens, the last event says how it ended."""

import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from app.engine import model_files, rows
from app.engine.failures import in_a_sentence
from app.engine.reporting import CannotTrain, Run, Stopped
from app.protocol import RunState

QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Read by the libraries when they are imported: nobody is told what is trained, and logs hold no bars."""


def main(path: str) -> int:
    os.environ.update(QUIET)
    run = Run(Path(path))
    if run.inputs.device == "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = _one_gpu()
    run.obey_signals()
    try:
        train(run)
        run.succeed()
    except Stopped as stopped:
        run.stop(stopped.reason)
    except CannotTrain as error:
        run.fail(str(error))
    except Exception as error:
        with suppress(OSError):  # the log may be on a full disk; the verdict may still find room
            traceback.print_exc()
        run.fail(in_a_sentence(error))
    finally:
        run.bench.close()
    return 0


def _one_gpu() -> str:
    """The trainers refuse to run where one process sees several."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def train(run: Run) -> None:
    """What cannot work is found out first; importing torch and the trainers takes longest and comes last."""
    if run.spec.recipe.kind == "starter":
        from app.engine import starter

        starter.train(run)
        return
    run.enter(RunState.STARTING, "reading the data and the model's files")
    split = rows.read(run)
    found = model_files.find(run)
    run.enter(RunState.STARTING, "importing the training libraries")
    run.stop_if_asked()
    if run.spec.recipe.kind == "sft":
        from app.engine import sft

        sft.train(run, split, found)
    else:
        from app.engine import grpo

        grpo.train(run, split, found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
