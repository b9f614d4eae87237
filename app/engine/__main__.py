"""Trains one run: `python -m app.engine RUN_DIR`. Whatever happens, the last event says how it ended."""

import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from app.engine import model_files, rows
from app.engine.failures import in_a_sentence, is_disk_full
from app.engine.reporting import CannotTrain, Interrupted, Paused, Run, Stopped
from app.protocol import RunState
from app.run_dir import NO_ROOM_FOR_THE_VERDICT

QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
    "DISABLE_MLFLOW_INTEGRATION": "TRUE",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Read by the libraries when they are imported: nobody is told what is trained, logs hold no bars, and what
we never call is not loaded."""


def main(path: str) -> int:
    os.environ.update(QUIET)
    run = Run(Path(path))
    if run.inputs.device == "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = run.inputs.gpu or _one_gpu()
    run.obey_signals()
    try:
        _train_to_a_verdict(run)
    except Interrupted:
        run.note_spent()
        _die_of_sigterm()
    except OSError as error:
        if not is_disk_full(error):
            raise
        return NO_ROOM_FOR_THE_VERDICT
    run.note_spent()
    return 0


def _train_to_a_verdict(run: Run) -> None:
    try:
        train(run)
        run.succeed()
    except Stopped as stopped:
        run.stop(stopped.reason)
    except Paused as paused:
        run.pause(paused)
    except CannotTrain as error:
        run.fail(str(error))
    except Interrupted:
        raise
    except Exception as error:
        with suppress(OSError):  # the log may be on a full disk; the verdict may still find room
            traceback.print_exc()
        run.fail(in_a_sentence(error))
    finally:
        run.bench.close()


def _die_of_sigterm() -> None:
    """So that the worker sees what ended this process: not its own fault, and no verdict."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _one_gpu() -> str:
    """The trainers refuse to run where one process sees several."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def train(run: Run) -> None:
    """What cannot work is found out first; importing torch and the trainers takes longest and comes last."""
    if run.spec.recipe.kind == "starter":
        from app.engine import starter

        starter.train(run)
        return
    if run.spec.recipe.kind == "probe":
        _probe(run)
        return
    run.enter(RunState.STARTING, "reading the data and the model's files")
    split = rows.read(run)
    found = model_files.find(run)
    run.enter(RunState.STARTING, "importing the training libraries")
    run.stop_if_asked()
    if run.spec.recipe.kind == "sft":
        from app.engine import sft

        sft.train(run, split, found)
    elif run.spec.recipe.kind == "reward_model":
        from app.engine import reward_model

        reward_model.train(run, split, found)
    else:
        from app.engine import grpo

        grpo.train(run, split, found)


def _probe(run: Run) -> None:
    """Nothing is kept halfway, so it ends or is cancelled, and never pauses."""
    run.is_trained = True
    run.enter(RunState.STARTING, "reading the data and the model's files")
    asked = rows.to_probe(run)
    found = model_files.find(run)
    run.enter(RunState.STARTING, "importing the libraries")
    run.stop_if_asked()
    from app.engine import probe

    probe.probe(run, asked, found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
