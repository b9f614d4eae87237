"""Trains one run: `python -m app.engine RUN_DIR`. Whatever happens, the last event says how it ended."""

import os
import sys
import traceback
from pathlib import Path

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
    run.obey_signals()
    run.enter(RunState.STARTING, "loading the training libraries")
    try:
        run.stop_if_asked()
        train(run)
        run.succeed()
    except Stopped as stopped:
        run.stop(stopped.reason)
    except CannotTrain as error:
        run.fail(str(error))
    except Exception as error:
        traceback.print_exc()
        run.fail(in_a_sentence(error))
    return 0


def train(run: Run) -> None:
    """Imports late: a run should pay only for what it needs."""
    match run.spec.recipe.kind:
        case "sft":
            from app.engine import sft

            sft.train(run)
        case "grpo":
            from app.engine import grpo

            grpo.train(run)
        case "starter":
            from app.engine import starter

            starter.train(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
