"""Group Relative Policy Optimization (GRPO): the model learns from the scores of its own answers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset
from trl import GRPOTrainer

from app.datasets.formats import Row, Split
from app.engine import bundle, rows
from app.engine.baseline import before_training
from app.engine.checks import HeldOutChecks
from app.engine.health import GRPO_RULES, Monitor
from app.engine.loading import load
from app.engine.model_files import Found
from app.engine.reporting import Run
from app.engine.reward import Reward
from app.engine.shown_groups import ShownGroups
from app.engine.stages import finish, fit
from app.engine.tracking import Tracking
from app.engine.trl_config import config
from app.engine.tuning import adapter_config
from app.engine.watcher import Watcher
from app.protocol import GrpoRecipe


def train(run: Run, split: Split, found: Found) -> None:
    recipe, grader = run.spec.recipe, run.spec.grader
    assert isinstance(recipe, GrpoRecipe)
    assert grader is not None
    loaded = load(run, found)
    before = before_training(run, loaded, split.held_out)
    watcher = Watcher(run, Monitor(GRPO_RULES, run.spec.on_finding))
    trainer = GRPOTrainer(
        model=loaded.model,
        processing_class=loaded.tokenizer,
        args=config(run, loaded),
        reward_funcs=Reward(run.bench, grader, split.train).grader,
        train_dataset=dataset(split.train, recipe.batch_size // recipe.num_generations),
        callbacks=[watcher, Tracking(run)],
        peft_config=adapter_config(run.spec),
    )
    loaded = loaded.trained(trainer.model)
    trainer.add_callback(ShownGroups(run, trainer, recipe.num_generations))
    trainer.add_callback(HeldOutChecks(run, trainer, watcher, loaded, split.held_out, before))
    fit(run, trainer, watcher)
    taken = _taken(split.train, recipe.batch_size // recipe.num_generations)
    bundle.write(run, loaded, [_with_item(split.train, each) for each in taken], split.held_out)
    finish(run, watcher, loaded, len(split.train), split.held_out, before)


def dataset(learned: Sequence[Row], groups: int) -> Any:
    return Dataset.from_list(_taken(learned, groups))


def _taken(learned: Sequence[Row], groups: int) -> list[dict[str, Any]]:
    """Prompts and the numbers of their rows. An update takes `groups` prompts, so few prompts come again."""
    again = -(-groups // len(learned))
    return [
        {"prompt": rows.conversation(row.prompt), "row": number} for number, row in enumerate(learned)
    ] * again


def _with_item(learned: Sequence[Row], taken: Mapping[str, Any]) -> dict[str, Any]:
    """The row's fields as one text: of mixed types, they would not fit a table's columns."""
    return {"prompt": taken["prompt"], "item": json.dumps(learned[taken["row"]].item)}
