"""The trainer of a run as its method builds it, for who looks at it without training to the end."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from app.datasets.rows import Row
from app.engine import sft
from app.engine.grpo import dataset as prompts
from app.engine.loading import Loaded
from app.engine.reporting import Run
from app.engine.reward import Reward
from app.engine.trl_config import config
from app.engine.tuning import adapter_config
from app.protocol import GrpoRecipe, RewardModelRecipe, SftRecipe


def trainer_of(
    run: Run, loaded: Loaded, learned: Sequence[Row], steps: int, *, in_full: bool = False, **more: Any
) -> Any:
    """`steps` updates, or all that the recipe asks for where it is 0. `more` goes to the trainer.

    `in_full` has GRPO's answers go on to the full length, as they may once the model has learned to.
    """
    recipe = run.spec.recipe
    args = config(run, loaded, learns_texts=isinstance(recipe, SftRecipe) and learned[0].is_text)
    args.max_steps = steps or args.max_steps
    if in_full and isinstance(recipe, GrpoRecipe):
        least = "min_tokens" if args.use_vllm else "min_new_tokens"
        args.generation_kwargs = {least: recipe.max_completion_length}
    given = {
        "model": loaded.model,
        "processing_class": loaded.tokenizer,
        "args": args,
        "peft_config": adapter_config(run.spec),
        **more,
    }
    if isinstance(recipe, GrpoRecipe):
        return _grpo(run, recipe, learned, given)
    if isinstance(recipe, RewardModelRecipe):
        return _reward_model(learned, given)
    from trl import SFTTrainer

    return SFTTrainer(**given, train_dataset=Dataset.from_list([sft.learned(row) for row in learned]))


def _grpo(run: Run, recipe: GrpoRecipe, learned: Sequence[Row], given: dict[str, Any]) -> Any:
    from trl import GRPOTrainer

    assert run.spec.grader is not None
    return GRPOTrainer(
        **given,
        reward_funcs=Reward(run.bench, run.spec.grader, learned).grader,
        train_dataset=prompts(learned, recipe.batch_size // recipe.num_generations),
    )


def _reward_model(learned: Sequence[Row], given: dict[str, Any]) -> Any:
    from trl import RewardTrainer

    from app.engine import reward_model

    return RewardTrainer(
        **given, train_dataset=Dataset.from_list([reward_model.learned(row) for row in learned])
    )
