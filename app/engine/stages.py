"""What SFT and GRPO do alike, before the trainer is built and after it has ended."""

import os
import shutil
from collections.abc import Sequence
from typing import Any

from app.datasets.formats import Row
from app.engine.evaluation import evaluate
from app.engine.loading import Loaded, trains_in_bf16
from app.engine.model_card import Card
from app.engine.reporting import Run, Stopped
from app.engine.watcher import Watcher
from app.protocol import Evaluation, GrpoRecipe, SftRecipe

RECOMPUTES_FROM = 300_000_000
"""Parameters. Below, activations fit and recomputing them would only cost time."""


def arguments(run: Run, recipe: SftRecipe | GrpoRecipe, loaded: Loaded) -> dict[str, Any]:
    """The trainer settings that do not depend on the method."""
    on_cuda = run.inputs.device == "cuda"
    return {
        "output_dir": str(run.dir.trainer_dir),
        "per_device_train_batch_size": recipe.micro_batch_size,
        "gradient_accumulation_steps": recipe.batch_size // recipe.micro_batch_size,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.lr_scheduler,
        "warmup_steps": min(recipe.warmup_ratio, 0.999999),  # below 1 it is a share of the steps
        "max_grad_norm": recipe.max_grad_norm,
        "seed": run.spec.seed,
        "use_cpu": not on_cuda,
        "bf16": trains_in_bf16(run),
        "activation_checkpointing": on_cuda and loaded.parameters >= RECOMPUTES_FROM,
        "dataloader_pin_memory": on_cuda,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "save_only_model": True,
        "save_total_limit": 1,
    }


def finish(
    run: Run, watcher: Watcher, loaded: Loaded, trained_on: int, held_out: Sequence[Row], before: Evaluation
) -> None:
    """The model is on disk before it is measured: whatever happens then, the training is not lost."""
    watcher.judge()
    card = Card(run, loaded, trained_on, before)
    keep(run, loaded, card)
    try:
        card.write(run.dir.model_dir, evaluate(run, "after", loaded, held_out))
    except Stopped:
        raise Stopped("Cancelled while measuring; the trained model is kept.") from None
    watcher.tell_if_cut_short()


def keep(run: Run, loaded: Loaded, card: Card) -> None:
    making = run.dir.path / ".model.new"
    shutil.rmtree(making, ignore_errors=True)
    loaded.model.save_pretrained(making)
    loaded.tokenizer.save_pretrained(making)
    card.write(making, None)
    for file in making.iterdir():
        _sync(file)
    making.rename(run.dir.model_dir)
    shutil.rmtree(run.dir.trainer_dir, ignore_errors=True)


def _sync(path: os.PathLike[str]) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
