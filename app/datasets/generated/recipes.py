"""Settings that suit the starter model: learning rates that would ruin a model of billions of parameters."""

from typing import Literal

from app.protocol import EvaluationPlan, GrpoRecipe, SftRecipe

EVALUATION = EvaluationPlan(items=1000, max_completion_length=96, temperature=1.0, samples_shown=20)

SFT = SftRecipe(
    learning_rate=1e-2, batch_size=32, micro_batch_size=32, epochs=3, max_length=256, warmup_ratio=0.05
)

WARM_START = SftRecipe(
    learning_rate=1e-3,
    batch_size=16,
    micro_batch_size=16,
    epochs=3,
    max_length=256,
    max_demonstrations=60,
    warmup_ratio=0.1,
)

GRPO = GrpoRecipe(
    learning_rate=5e-4,
    batch_size=128,
    micro_batch_size=128,
    steps=60,
    num_generations=8,
    max_completion_length=96,
    temperature=1.0,
    lr_scheduler="constant",
    warmup_ratio=0.05,
)


def starter_recipe(
    task: str, method: Literal["sft", "grpo"], warm_start: bool = False
) -> SftRecipe | GrpoRecipe:
    """`task` is one of the generated ones; a warm start is kept short, so that GRPO has room."""
    if method == "grpo":
        return GRPO
    return WARM_START if warm_start or task == "rulings" else SFT
