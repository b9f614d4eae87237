"""The first batch exactly as the trainer will see it: `python -m app.engine.first_batch`, inputs on stdin.

The trainer is the run's own, with its tokenizer, its dataset and its collator. Only the weights are not: a
tiny model of the same vocabulary stands in for them, since they play no part in what the batch holds.
"""

import os
from collections.abc import Sequence
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification
from transformers.utils.logging import disable_progress_bar

from app.datasets.rows import Row
from app.engine import model_files, rows
from app.engine.__main__ import QUIET
from app.engine.failures import in_a_sentence
from app.engine.lines import Lines
from app.engine.loading import PLAIN_TEMPLATE, Loaded, tokenizer_of
from app.engine.reporting import CannotTrain, Run
from app.engine.sft import refuse_long
from app.engine.trainers import trainer_of
from app.protocol import (
    BatchRow,
    BatchToken,
    FirstBatch,
    FirstBatchInputs,
    FirstBatchMade,
    FullTuning,
    GrpoRecipe,
    Recipe,
    RewardModelRecipe,
    RunSpec,
    SftRecipe,
    TrainingRecipe,
)

IGNORED = -100
"""Label of a token that the loss does not count."""

ROWS_SHOWN = 8
TOKENS_SHOWN = 1500
"""Of any one row."""


def made(run: Run, most_rows: int) -> FirstBatch:
    """`most_rows` are tokenized, at most."""
    loaded = _stand_in(run, model_files.find(run))
    learned = rows.read(run).train
    recipe = run.spec.recipe
    if isinstance(recipe, GrpoRecipe):  # its prompts are tokenized batch by batch
        batches = trainer_of(run, loaded, learned, steps=0).get_train_dataloader()
        return _prompts(run.spec, recipe, next(iter(batches)), loaded)
    assert isinstance(recipe, SftRecipe | RewardModelRecipe)
    if len(learned) > most_rows and _is_ordered_by_number(recipe):
        drawn, count = _drawn(run, loaded, learned)
        of_those = [learned[number] for number in drawn]
        batches = _batches(run, loaded, of_those, train_sampling_strategy="sequential")
        return _tokens(run.spec, next(iter(batches)), loaded, count, [])
    taken = learned[:most_rows]
    batches = _batches(run, loaded, taken)
    if len(taken) == len(learned):
        return _tokens(run.spec, next(iter(batches)), loaded, len(batches), [])
    note = (
        f"Only the first {len(taken):,} of {len(learned):,} rows were looked at: how they are packed or "
        "ordered depends on all of them, so the training begins with another batch, and its updates are "
        "estimated."
    )
    sequences = len(batches.dataset) * len(learned) / len(taken)
    count = ceil(sequences / recipe.micro_batch_size)
    return _tokens(run.spec, next(iter(batches)), loaded, count, [note])


def _is_ordered_by_number(recipe: Recipe) -> bool:
    """Whether the order follows from how many rows there are, whatever is in them."""
    assert isinstance(recipe, SftRecipe | RewardModelRecipe)
    advanced = recipe.advanced
    shuffles = bool(advanced.get("shuffle_dataset"))
    by_length = advanced.get("train_sampling_strategy") == "group_by_length"
    return not (shuffles or by_length or (isinstance(recipe, SftRecipe) and recipe.packing))


def _drawn(run: Run, loaded: Loaded, learned: Sequence[Row]) -> tuple[list[int], int]:
    """The numbers of the first batch's rows, and how many batches there are."""
    trainer = trainer_of(run, loaded, learned[:1], steps=0)
    trainer.train_dataset, trainer.data_collator = range(len(learned)), list
    batches = trainer.get_train_dataloader()
    return next(iter(batches)), len(batches)


def _batches(run: Run, loaded: Loaded, learned: Sequence[Row], **changes: Any) -> Any:
    """The trainer's own, of these rows; `changes` are to its arguments."""
    recipe = run.spec.recipe
    if isinstance(recipe, SftRecipe):
        refuse_long(learned, loaded, recipe.max_length)
    trainer = trainer_of(run, loaded, learned, steps=0)
    for name, value in changes.items():
        setattr(trainer.args, name, value)
    return trainer.get_train_dataloader()


def _stand_in(run: Run, found: model_files.Found) -> Loaded:
    torch.set_num_threads(run.inputs.threads)
    disable_progress_bar()
    tokenizer = tokenizer_of(run, found.folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        num_labels=1,
    )
    grades = isinstance(run.spec.recipe, RewardModelRecipe)
    model = (LlamaForSequenceClassification if grades else LlamaForCausalLM)(config)
    return Loaded(model, tokenizer, found, model.num_parameters())


def _steps(spec: RunSpec, batches: int) -> int:
    recipe = spec.recipe
    assert isinstance(recipe, SftRecipe | RewardModelRecipe)
    again = recipe.batch_size // recipe.micro_batch_size
    return max(1, round(-(-batches // again) * recipe.epochs))


# Tokens


def _tokens(spec: RunSpec, batch: Any, loaded: Loaded, batches: int, notes: list[str]) -> FirstBatch:
    """`batches` are those of one epoch."""
    ids = batch["input_ids"].tolist()
    labels = batch["labels"].tolist() if "labels" in batch else None
    masks = _masks(batch, len(ids[0]))
    shown = [
        _row(row, masks[n], labels[n] if labels else None, loaded.tokenizer, _label(spec, n, len(ids)))
        for n, row in enumerate(ids)
    ]
    return FirstBatch(
        kind="tokens",
        rows=shown[:ROWS_SHOWN],
        sequences=len(ids),
        width=len(ids[0]),
        tokens=sum(row.length for row in shown),
        learned=sum(row.learned for row in shown),
        padding=sum(row.padding for row in shown),
        steps=_steps(spec, batches),
        notes=[*_notes(spec, loaded), *notes],
    )


def _masks(batch: Any, width: int) -> list[list[int]]:
    """Which tokens are no padding. Packed rows are cut at their positions and have no mask of their own."""
    if "attention_mask" in batch:
        masks: list[list[int]] = batch["attention_mask"].tolist()
        return masks
    return [[1] * width for _ in range(len(batch["input_ids"]))]


def _row(
    ids: Sequence[int], mask: Sequence[int], labels: Sequence[int] | None, tokenizer: Any, label: str
) -> BatchRow:
    kept = [n for n, is_real in enumerate(mask) if is_real]
    learned = [labels is not None and labels[n] != IGNORED for n in kept]
    texts = _texts([ids[n] for n in kept[:TOKENS_SHOWN]], tokenizer)
    return BatchRow(
        tokens=[
            BatchToken(id=ids[n], text=text, is_learned=is_learned)
            for n, text, is_learned in zip(kept, texts, learned, strict=False)
        ],
        length=len(kept),
        learned=sum(learned),
        padding=len(ids) - len(kept),
        label=label,
    )


def _texts(ids: Sequence[int], tokenizer: Any) -> list[str]:
    """Each token as text; one that is part of a character only has what its vocabulary calls it."""
    names = tokenizer.convert_ids_to_tokens(list(ids))
    texts = [tokenizer.decode([each], skip_special_tokens=False) for each in ids]
    return [name if "\ufffd" in text else text for name, text in zip(names, texts, strict=True)]


def _label(spec: RunSpec, n: int, sequences: int) -> str:
    """A reward model's batch holds all the chosen answers and then all the rejected ones."""
    if not isinstance(spec.recipe, RewardModelRecipe):
        return ""
    return "chosen" if n < sequences // 2 else "rejected"


def _notes(spec: RunSpec, loaded: Loaded) -> list[str]:
    template = loaded.tokenizer.chat_template
    if template == PLAIN_TEMPLATE:
        said = [
            "The model has no chat template of its own; a plain one is used and kept with the trained model."
        ]
    else:
        said = ["Messages are joined by the model’s own chat template."]
    if isinstance(spec.recipe, SftRecipe) and spec.recipe.packing:
        said.append("Rows are packed: several stand in one sequence, and none looks at another.")
    if isinstance(spec.recipe, RewardModelRecipe):
        said.append("A reward model learns from the difference of two scores, so no single token is learned.")
    return said


# Prompts


def _prompts(spec: RunSpec, recipe: GrpoRecipe, batch: Any, loaded: Loaded) -> FirstBatch:
    """The dataloader repeats each prompt as often as it is answered."""
    prompts = [row["prompt"] for row in batch]
    different = [prompt for n, prompt in enumerate(prompts) if n == 0 or prompt != prompts[n - 1]]
    asked = [
        loaded.tokenizer.apply_chat_template(
            prompt, add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
        for prompt in different
    ]
    shown = [_row(ids, [1] * len(ids), None, loaded.tokenizer, "") for ids in islice(asked, ROWS_SHOWN)]
    longest = max(len(ids) for ids in asked)
    return FirstBatch(
        kind="prompts",
        rows=shown,
        sequences=len(prompts),
        width=longest,
        tokens=sum(len(ids) for ids in asked),
        learned=0,
        padding=sum(longest - len(ids) for ids in asked),
        steps=recipe.steps,
        num_generations=recipe.num_generations,
        notes=_notes(spec, loaded),
    )


def main() -> None:
    os.environ.update(QUIET)
    lines = Lines()
    inputs = FirstBatchInputs.model_validate_json(lines.first())
    lines.hear()
    try:
        run = _untuned(Run(Path(inputs.run_dir)))
        lines.say(FirstBatchMade(batch=made(run, inputs.most_rows)))
    except CannotTrain as error:
        lines.say(FirstBatchMade(trouble=str(error)))
    except Exception as error:
        told = in_a_sentence(error).replace(
            "The training stopped unexpectedly", "The batch could not be made"
        )
        lines.say(FirstBatchMade(trouble=told))
    os._exit(0)  # taking torch down properly would cost seconds


def _untuned(run: Run) -> Run:
    """Adapters play no part in what a batch holds, and the stand-in has no place for them."""
    recipe = run.spec.recipe
    if isinstance(recipe, TrainingRecipe):
        run.spec = run.spec.model_copy(update={"recipe": recipe.model_copy(update={"tuning": FullTuning()})})
    return run


if __name__ == "__main__":
    main()
