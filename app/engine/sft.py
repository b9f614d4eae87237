"""Supervised fine-tuning (SFT): the model learns to write what the demonstrations show."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from app.datasets.formats import Row, Split
from app.engine import rows
from app.engine.baseline import before_training
from app.engine.checks import HeldOutChecks
from app.engine.health import SFT_RULES, Monitor
from app.engine.loading import Loaded, load
from app.engine.model_files import Found
from app.engine.reporting import CannotTrain, Run
from app.engine.stages import arguments, finish, fit
from app.engine.watcher import Watcher
from app.protocol import SftRecipe


def train(run: Run, split: Split, found: Found) -> None:
    recipe = run.spec.recipe
    assert isinstance(recipe, SftRecipe)
    loaded = load(run, found)
    refuse_long(split.train, loaded, recipe.max_length)
    before = before_training(run, loaded, split.held_out)
    watcher = Watcher(run, Monitor(SFT_RULES, run.spec.on_finding))
    trainer = SFTTrainer(
        model=loaded.model,
        processing_class=loaded.tokenizer,
        args=_config(run, recipe, loaded),
        train_dataset=_dataset(split.train),
        callbacks=[watcher],
    )
    trainer.add_callback(HeldOutChecks(run, trainer, watcher, loaded, split.held_out, before))
    fit(run, trainer, watcher)
    finish(run, watcher, loaded, len(split.train), split.held_out, before)


def _config(run: Run, recipe: SftRecipe, loaded: Loaded) -> Any:
    return SFTConfig(
        **arguments(run, recipe, loaded),
        num_train_epochs=recipe.epochs,
        max_length=recipe.max_length,
        completion_only_loss=True,
        packing=recipe.packing,
    )


def _dataset(learned: Sequence[Row]) -> Any:
    return Dataset.from_list(
        [
            {
                "prompt": rows.conversation(row.prompt),
                "completion": rows.conversation(row.messages[len(row.prompt) :]),
            }
            for row in learned
        ]
    )


def refuse_long(learned: Sequence[Row], loaded: Loaded, max_length: int) -> None:
    """A row that is cut teaches to stop in mid-sentence, so none is."""
    lengths = [
        len(tokens)
        for tokens in loaded.tokenizer.apply_chat_template(
            [rows.conversation(row.messages) for row in learned], tokenize=True, return_dict=True
        )["input_ids"]
    ]
    too_long = sum(length > max_length for length in lengths)
    if too_long:
        raise CannotTrain(
            f"{too_long} of {len(lengths)} demonstrations are longer than max_length ({max_length} tokens); "
            f"the longest has {max(lengths)}. Raise max_length or shorten them."
        )
