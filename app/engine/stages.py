"""What SFT and GRPO do alike, before the trainer is built and after it has ended."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from app.datasets.formats import Row
from app.engine import checkpoints, tuning
from app.engine.baseline import after_training
from app.engine.checkpoints import Checkpoint
from app.engine.failures import is_disk_full
from app.engine.loading import Loaded
from app.engine.model_card import Card
from app.engine.reporting import Paused, Run, Stopped
from app.engine.watcher import Watcher, end_with_the_budget
from app.protocol import Evaluation, ResumeEvent
from app.run_dir import RunDir, make_durable


def fit(run: Run, trainer: Any, watcher: Watcher) -> None:
    """From the newest checkpoint that verifies, where there is one, to the end; then the model that is to be
    kept is the trainer's. Raises unless there is one: Stopped, Paused, Interrupted, CannotTrain."""
    trainer._save_checkpoint = _unless_full(run, trainer, trainer._save_checkpoint)
    found = _where_to_go_on(run)
    if found:
        watcher.recall(found.step)
        run.clock.learned_before = found.manifest.learned_seconds
    if found and _is_trained(run, found):
        trainer._load_from_checkpoint(str(found.path))
        run.steps_done = found.step
    else:
        trainer.train(resume_from_checkpoint=str(found.path) if found else None)
    watcher.judge()
    run.is_trained = True
    if kept := watcher.model_to_keep():
        run.kept_step = kept.step
        if kept.step != run.steps_done:
            trainer._load_from_checkpoint(str(kept.path))


def _is_trained(run: Run, found: Checkpoint) -> bool:
    """Whether it is only to be measured: then its step is the plan."""
    if (run.budget_used or 0.0) >= 1:
        end_with_the_budget(run, found.step)
        return True
    if found.step < TrainerState.load_from_json(str(found.path / TRAINER_STATE_NAME)).max_steps:
        return False
    run.plan(found.step)
    return True


def _where_to_go_on(run: Run) -> Checkpoint | None:
    checkpoints.sweep(run.dir)
    passed_over = []
    if run.inputs.continues_dir and not checkpoints.published(run.dir):
        passed_over = checkpoints.take_over(RunDir(Path(run.inputs.continues_dir)), run.dir)
    found, unsound = checkpoints.newest_sound(run.dir)
    for sentence in (*passed_over, *unsound):
        run.note(sentence)
    step = found.step if found else 0
    checkpoints.forget_later(run.dir, step)
    if run.inputs.why:
        run.say(ResumeEvent(from_step=step, attempt=run.inputs.attempt, why=run.inputs.why))
    return found


def _unless_full(run: Run, trainer: Any, save: Callable[..., None]) -> Callable[..., None]:
    """A checkpoint that finds no room is given up, not the training; the one before it stays."""

    def try_to_save(*given: Any, **named: Any) -> None:
        try:
            with run.clock.aside():
                save(*given, **named)
        except Exception as error:
            if not is_disk_full(error):
                raise
            shutil.rmtree(run.dir.trainer_dir, ignore_errors=True)
            run.note(f"No checkpoint at step {trainer.state.global_step}: the disk is full.")

    return try_to_save


def finish(
    run: Run,
    watcher: Watcher,
    loaded: Loaded,
    trained_on: int,
    held_out: Sequence[Row],
    before: Evaluation | None,
) -> None:
    """The model is on disk before it is measured: whatever happens then, the training is not lost."""
    keep(run, loaded, Card(run, loaded, trained_on, before))
    try:
        before, after = after_training(run, loaded, held_out, before)
        Card(run, loaded, trained_on, before).write(run.dir.model_dir, after)
    except Stopped:
        raise Stopped("Cancelled while measuring; the trained model is kept.") from None
    except Paused as paused:
        watcher.tell_if_stopped()
        raise Paused(f"{paused} The trained model is kept.", paused.limit) from None
    watcher.tell_if_stopped()
    checkpoints.prune(run.dir, newest_kept=0)


def keep(run: Run, loaded: Loaded, card: Card) -> None:
    making = run.dir.path / ".model.new"
    shutil.rmtree(making, ignore_errors=True)
    tuning.save(loaded.model, run.spec, loaded.found.folder, making, run.dir.adapter_dir)
    loaded.tokenizer.save_pretrained(making)
    card.write(making, None)
    for file in making.iterdir():
        make_durable(file)
    _replace(run.dir.model_dir, making)
    shutil.rmtree(run.dir.trainer_dir, ignore_errors=True)


def _replace(folder: Path, by: Path) -> None:
    """An attempt that was lost while it measured has left its model there."""
    earlier = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(earlier, ignore_errors=True)
    if folder.exists():
        folder.rename(earlier)
    by.rename(folder)
    shutil.rmtree(earlier, ignore_errors=True)
