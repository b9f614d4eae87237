"""Every setting of a recipe as the launch form shows it: label, what it does, its usual value and source."""

from dataclasses import dataclass
from typing import Literal

Choices = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Setting:
    name: str
    """As in the recipe."""
    label: str
    hint: str
    source: str
    kind: Literal["number", "whole", "choice", "yes_no", "names"] = "number"
    unit: str = ""
    optional: bool = False
    choices: Choices = ()
    rare: bool = False
    """Shown in the closed part of the form: few people need to change it."""


SHARED_RARE = (
    Setting(
        "warmup_ratio",
        "Warm-up",
        "Share of the steps over which the learning rate climbs from zero.",
        "3 % is the common default",
        rare=True,
    ),
    Setting(
        "lr_scheduler",
        "Learning rate schedule",
        "How the learning rate falls after the warm-up.",
        "Cosine for SFT; cosine or constant for GRPO",
        kind="choice",
        choices=(("cosine", "Cosine"), ("linear", "Linear"), ("constant", "Constant")),
        rare=True,
    ),
    Setting(
        "max_grad_norm",
        "Gradient clipping",
        "A larger gradient is scaled down to this norm, so that one odd batch cannot throw the model off.",
        "1.0 is TRL's default; open-r1 uses 0.2",
        rare=True,
    ),
)

SFT = (
    Setting(
        "learning_rate",
        "Learning rate",
        "How far one update moves the model. Too high and it diverges, too low and nothing happens.",
        "1e-5 to 2e-5 for 7B and above; up to 1e-3 below 0.4B",
    ),
    Setting(
        "epochs",
        "Epochs",
        "How often the model sees each demonstration.",
        "3-5 below 100 rows, 1 above 2,000",
    ),
    Setting(
        "max_demonstrations",
        "Demonstrations used",
        "Only the first so many; this keeps a warm start short. Empty means all.",
        "50 or more for a warm start",
        kind="whole",
        optional=True,
    ),
    Setting(
        "batch_size",
        "Batch size",
        "Demonstrations behind one update.",
        "16 to 32; up to 128 for large sets",
        kind="whole",
        unit="sequences",
    ),
    Setting(
        "micro_batch_size",
        "Micro-batch size",
        "Demonstrations in memory at once; the batch is a multiple of it. Lower it when memory runs out.",
        "Whatever fits in memory",
        kind="whole",
        unit="sequences",
    ),
    Setting(
        "max_length",
        "Longest row",
        "Prompt and answer together. Longer rows are refused before training, never cut.",
        "The 99th percentile of your rows",
        kind="whole",
        unit="tokens",
    ),
    *SHARED_RARE,
    Setting(
        "packing",
        "Pack short rows together",
        "Fills each sequence with several short rows: faster on short rows.",
        "TRL's packing option",
        kind="yes_no",
        rare=True,
    ),
)

GRPO = (
    Setting(
        "learning_rate",
        "Learning rate",
        "How far one update moves the model. GRPO needs a much smaller one than SFT.",
        "1e-6 for 1.5B to 14B; 3e-7 to 1e-6 from 32B",
    ),
    Setting(
        "steps",
        "Steps",
        "Updates in all. More steps cost more and can over-optimise the reward.",
        "300 to 1,000 are common",
        kind="whole",
    ),
    Setting(
        "num_generations",
        "Completions per prompt",
        "The group whose rewards are compared with each other. A group without differences teaches nothing.",
        "8; 4 when memory is short, 16 for hard tasks",
        kind="whole",
    ),
    Setting(
        "batch_size",
        "Batch size",
        "Completions behind one update: a multiple of the completions per prompt.",
        "32 to 64; up to 512 at scale",
        kind="whole",
        unit="completions",
    ),
    Setting(
        "micro_batch_size",
        "Micro-batch size",
        "Completions in memory at once; the batch is a multiple of it. Lower it when memory runs out.",
        "Whatever fits in memory",
        kind="whole",
        unit="completions",
    ),
    Setting(
        "max_completion_length",
        "Longest completion",
        "Completions are cut here, and generation time grows with it.",
        "256-512 for short answers, 1,024-2,048 for a rationale",
        kind="whole",
        unit="tokens",
    ),
    Setting(
        "temperature",
        "Temperature",
        "How varied the completions of a group are. Too low and they are all alike.",
        "0.7 to 1.0",
    ),
    Setting(
        "beta",
        "KL penalty",
        "Holds the model near its start. 0 needs no second copy of the model in memory.",
        "0 is TRL's default; 0.001 to 0.04 where drift matters",
    ),
    Setting(
        "top_p",
        "Nucleus sampling",
        "Only the likeliest tokens up to this total probability are drawn; 1 means all.",
        "1",
        rare=True,
    ),
    Setting(
        "epsilon",
        "Clip range, lower",
        "How far down a token's probability may move in one update.",
        "0.2 (Shao et al. 2024)",
        rare=True,
    ),
    Setting(
        "epsilon_high",
        "Clip range, upper",
        "How far up. Wider than the lower range keeps rare good tokens alive. Empty means the same.",
        "0.28 (Yu et al. 2025, DAPO)",
        optional=True,
        rare=True,
    ),
    Setting(
        "loss_type",
        "Loss",
        "How the tokens of long and short completions are weighed.",
        "DAPO is TRL's default; Dr. GRPO removes a length bias (Liu et al. 2025)",
        kind="choice",
        choices=(
            ("dapo", "DAPO"),
            ("dr_grpo", "Dr. GRPO"),
            ("grpo", "GRPO"),
            ("bnpo", "BNPO"),
            ("cispo", "CISPO"),
            ("sapo", "SAPO"),
            ("luspo", "LUSPO"),
            ("vespo", "VESPO"),
        ),
        rare=True,
    ),
    Setting(
        "scale_rewards",
        "Scale rewards by",
        "The spread that rewards are divided by before they become advantages.",
        "Group (Shao et al. 2024); none (Liu et al. 2025)",
        kind="choice",
        choices=(("group", "Each group's own spread"), ("batch", "The batch's spread"), ("none", "Nothing")),
        rare=True,
    ),
    Setting(
        "mask_truncated_completions",
        "Leave out completions that were cut",
        "Completions that hit the length limit then teach nothing. Only sensible when few are cut.",
        "Yu et al. 2025 (DAPO)",
        kind="yes_no",
        rare=True,
    ),
    *SHARED_RARE,
)

REWARD_MODEL = (
    Setting(
        "learning_rate",
        "Learning rate",
        "How far one update moves the model. Preference pairs take a small one.",
        "1e-5 for all weights; 1e-4 for adapters",
    ),
    Setting(
        "epochs",
        "Epochs",
        "How often the model sees each pair. A second time over few pairs is learned by heart.",
        "1",
    ),
    Setting(
        "batch_size",
        "Batch size",
        "Pairs behind one update.",
        "16 to 64",
        kind="whole",
        unit="pairs",
    ),
    Setting(
        "micro_batch_size",
        "Micro-batch size",
        "Pairs in memory at once; the batch is a multiple of it. Lower it when memory runs out.",
        "Whatever fits in memory",
        kind="whole",
        unit="pairs",
    ),
    Setting(
        "max_length",
        "Longest answer with its prompt",
        "Longer pairs are refused before training, never cut.",
        "The 99th percentile of your rows",
        kind="whole",
        unit="tokens",
    ),
    *SHARED_RARE,
)

PROBE = (
    Setting(
        "prompts",
        "Prompts",
        "Drawn from the rows that GRPO would practise on. More of them narrow the interval.",
        "32",
        kind="whole",
    ),
    Setting(
        "samples",
        "Answers to each",
        "As many as the group of a GRPO run, so that dead groups are measured and not estimated.",
        "8",
        kind="whole",
    ),
    Setting(
        "temperature",
        "Temperature",
        "How varied the answers to a prompt are: the one that GRPO would sample at.",
        "0.7 to 1.0",
    ),
    Setting(
        "max_completion_length",
        "Longest answer",
        "Answers are cut here, and the probe’s time grows with it.",
        "256-512 for short answers, 1,024-2,048 for a rationale",
        kind="whole",
        unit="tokens",
    ),
)

BY_METHOD = {"sft": SFT, "grpo": GRPO, "reward_model": REWARD_MODEL, "probe": PROBE}
