"""Supervised fine-tuning (SFT): the model learns to write what the demonstrations show."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from trl import SFTTrainer

from app.datasets.formats import Row, Split
from app.engine import bundle, rows
from app.engine.baseline import before_training
from app.engine.checks import HeldOutChecks
from app.engine.health import SFT_RULES, Monitor
from app.engine.loading import Loaded, load
from app.engine.model_files import Found
from app.engine.reporting import CannotTrain, Run
from app.engine.stages import finish, fit
from app.engine.tracking import Tracking
from app.engine.trl_config import config
from app.engine.tuning import adapter_config
from app.engine.watcher import Watcher
from app.protocol import SftRecipe


def train(run: Run, split: Split, found: Found) -> None:
    recipe = run.spec.recipe
    assert isinstance(recipe, SftRecipe)
    loaded = load(run, found)
    refuse_long(split.train, loaded, recipe.max_length)
    before = before_training(run, loaded, split.held_out)
    taken = [learned(row) for row in split.train]
    watcher = Watcher(run, Monitor(SFT_RULES, run.spec.on_finding))
    trainer = SFTTrainer(
        model=loaded.model,
        processing_class=loaded.tokenizer,
        args=config(run, loaded, learns_texts=split.train[0].is_text),
        train_dataset=Dataset.from_list(taken),
        callbacks=[watcher, Tracking(run)],
        peft_config=adapter_config(run.spec),
    )
    loaded = loaded.trained(trainer.model)
    trainer.add_callback(HeldOutChecks(run, trainer, watcher, loaded, split.held_out, before))
    fit(run, trainer, watcher)
    bundle.write(run, loaded, taken, split.held_out)
    finish(run, watcher, loaded, len(split.train), split.held_out, before)


def learned(row: Row) -> dict[str, Any]:
    """A row as TRL takes it: a prompt with its completion, or a whole text."""
    if row.is_text:
        return {"text": row.text}
    return {
        "prompt": rows.conversation(row.prompt),
        "completion": rows.conversation(row.messages[len(row.prompt) :]),
    }


def refuse_long(learned: Sequence[Row], loaded: Loaded, max_length: int) -> None:
    """A row that is cut teaches to stop in mid-sentence, so none is."""
    lengths = [*_lengths_of_demonstrations(learned, loaded), *_lengths_of_texts(learned, loaded)]
    too_long = sum(length > max_length for length in lengths)
    if too_long:
        what = "texts" if learned[0].is_text else "demonstrations"
        raise CannotTrain(
            f"{too_long} of {len(lengths)} {what} are longer than max_length ({max_length} tokens); "
            f"the longest has {max(lengths)}. Raise max_length or shorten them."
        )


def _lengths_of_demonstrations(learned: Sequence[Row], loaded: Loaded) -> list[int]:
    asked = [rows.conversation(row.messages) for row in learned if not row.is_text]
    if not asked:
        return []
    told = loaded.tokenizer.apply_chat_template(asked, tokenize=True, return_dict=True)
    return [len(tokens) for tokens in told["input_ids"]]


def _lengths_of_texts(learned: Sequence[Row], loaded: Loaded) -> list[int]:
    """With the end token that the trainer adds."""
    texts = [row.text for row in learned if row.is_text]
    return [len(tokens) + 1 for tokens in loaded.tokenizer(texts)["input_ids"]] if texts else []
