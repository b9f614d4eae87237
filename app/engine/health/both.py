"""Failures that either method can have: divergence, and what training costs elsewhere."""

from statistics import median

from app.engine.health.series import Found, Rule, Series, told
from app.graders.comparison import mcnemar
from app.protocol import Evaluation, HealthEvent

GRADIENTS_RISEN, GRADIENTS_AT_THE_END, GRADIENTS_LOGS = 3, 10, 20
"""Times the usual gradient on three logs running, times it on the last, and logs before there is a usual."""

FORGOTTEN, FORGOTTEN_CHANCE = 0.02, 0.05
"""Share of the other task that is lost, and the chance that luck alone would lose as much (McNemar)."""


def not_finite(series: Series) -> Found | None:
    names = [name for name in ("loss", "grad_norm") if series.newest_is_not_finite(name)]
    if not names:
        return None
    return Found(
        f"The training diverged: {' and '.join(names)} stopped being a number.",
        "Start again with a learning rate at least three times lower.",
    )


def gradients_explode(series: Series) -> Found | None:
    """Thrice the usual on three logs running, and ten times it at the end; early steps are no measure."""
    norms = series.all("grad_norm")
    if len(norms) < GRADIENTS_LOGS:
        return None
    usual, now = median(norms[:-3]), norms[-3:]
    if usual <= 0 or min(now) < GRADIENTS_RISEN * usual or now[-1] < GRADIENTS_AT_THE_END * usual:
        return None
    return Found(
        f"Gradients grew to {now[-1]:.3g}, {now[-1] / usual:.0f} times the run's usual {usual:.3g}: the "
        "training may be diverging.",
        "If it does not settle, lower the learning rate.",
        now[-1],
    )


BOTH_RULES = (
    Rule("not_finite", "stop", "loss", ("trl-1.16",), not_finite),
    Rule("gradients_explode", "warn", "grad_norm", ("axolotl", "own"), gradients_explode),
)


def forgetting(before: Evaluation, after: Evaluation, step: int) -> HealthEvent | None:
    """Judged once, after training, on the guard task. A fall that luck explains is none."""
    fall = before.sampled.value - after.sampled.value
    chance = mcnemar(before.sampled_outcomes, after.sampled_outcomes)
    if fall <= FORGOTTEN or chance > FORGOTTEN_CHANCE:
        return None
    return told(FORGETS, step, _forgotten(before, after))


def _forgotten(before: Evaluation, after: Evaluation) -> Found:
    return Found(
        f"The guard task fell from {before.sampled.value:.0%} to {after.sampled.value:.0%} right on the same "
        f"{len(before.sampled_outcomes)} items: the model forgot some of it.",
        "Mix rows of that task into the training data, train for fewer steps, or lower the learning rate; "
        "an adapter and GRPO forget less than full SFT.",
        after.sampled.value,
    )


FORGETS = Rule("forgets", "warn", "", ("qi2023", "shenfeld2025", "own"), lambda series: None)
"""Has no series of its own: `forgetting` compares two evaluations."""
