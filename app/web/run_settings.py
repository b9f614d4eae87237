"""Settings of a run beside its recipe, as the launch form shows them: tuning, limits, conduct, measuring."""

from collections.abc import Mapping

from app.web.recipe_settings import BY_METHOD, Setting

ADAPTER = (
    Setting(
        "rank",
        "Rank",
        "Size of the adapters. More rank learns more and takes more memory.",
        "16; 32 to 64 from 2,000 rows",
        kind="whole",
    ),
    Setting(
        "alpha",
        "Alpha",
        "How strongly the adapters count: alpha divided by rank.",
        "Twice the rank",
        kind="whole",
    ),
    Setting("dropout", "Dropout", "Share of the adapters’ inputs left out at random.", "0 to 0.05"),
    Setting(
        "target_modules",
        "Layers",
        "Names of the layers that get an adapter, with commas between. Empty means all linear layers "
        "but the head.",
        "All linear layers (Schulman 2025)",
        kind="names",
        optional=True,
    ),
)

LIMITS = (
    Setting(
        "steps",
        "Step limit",
        "Pauses after so many steps, however many were asked for.",
        "",
        kind="whole",
        optional=True,
    ),
    Setting(
        "minutes",
        "Minutes of training",
        "Measuring before and after is not counted.",
        "",
        unit="minutes",
        optional=True,
    ),
    Setting(
        "gpu_hours",
        "GPU-hours",
        "Devices times hours, measuring included. Without a GPU the worker’s CPU counts as one device.",
        "",
        optional=True,
    ),
    Setting(
        "price_per_gpu_hour",
        "Price of a GPU-hour",
        "In the same currency. With it the run’s page also shows what was spent.",
        "",
        optional=True,
    ),
    Setting(
        "money",
        "Money",
        "GPU-hours times the price beside it.",
        "",
        optional=True,
    ),
)

CONDUCT = (
    Setting(
        "on_finding",
        "When a health finding is raised",
        "Findings are known failures, recognised while they happen.",
        "as each rule says: few of them stop a run",
        kind="choice",
        choices=(
            ("as_ruled", "As each rule says"),
            ("warn", "Only ever warn"),
            ("stop", "Stop, and keep the best checkpoint"),
        ),
    ),
    Setting(
        "keep",
        "Which model is kept",
        "The best checkpoint is the one with the best short measurement during training.",
        "the last; the best where the run may train too long",
        kind="choice",
        choices=(("last", "The last step’s"), ("best", "The best checkpoint’s")),
    ),
)

EVALUATION = (
    Setting(
        "items",
        "Held-out items",
        "Answered before and after training, never trained on. More items make narrower intervals.",
        "200 give about ±7 points, 1,000 about ±3",
        kind="whole",
    ),
    Setting(
        "max_completion_length",
        "Longest answer",
        "Answers are cut here. Use the training's own limit or more.",
        "As in training",
        kind="whole",
        unit="tokens",
    ),
    Setting(
        "temperature",
        "Temperature",
        "Of the sampled answers; the greedy answers are measured beside them.",
        "As in the training's rollouts",
    ),
    Setting(
        "baseline",
        "Measure the starting model",
        "Later: training begins at once. A measurement that was made before is used again in any case.",
        "first",
        kind="choice",
        choices=(("first", "Before training"), ("later", "After training"), ("skip", "Not at all")),
    ),
    Setting(
        "checks",
        "Checks during training",
        "Short measurements on held-out items, evenly spread. 0: none.",
        "10: every 10 % of the steps",
        kind="whole",
    ),
    Setting(
        "check_items",
        "Items of each check",
        "One sampled answer each. Few are quick, many tell more.",
        "64",
        kind="whole",
        rare=True,
    ),
    Setting(
        "samples_shown",
        "Answers kept to read",
        "So many are shown side by side, before and after.",
        "20",
        kind="whole",
        rare=True,
    ),
)

ALL: Mapping[str, tuple[Setting, ...]] = BY_METHOD | {
    "tuning": ADAPTER,
    "limits": LIMITS,
    "conduct": CONDUCT,
    "evaluation": EVALUATION,
}
"""By the prefix of their fields: `grpo.steps`, `limits.steps`."""

GUARD_ITEMS = Setting("items", "Items", "Answered before and after.", "100", kind="whole")

PRIORITIES = (("1", "Before other runs"), ("0", "In order"), ("-1", "After other runs"))
