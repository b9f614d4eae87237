"""How SFT fails: it over-fits, memorises, narrows, rambles or flatters, as its data or its rate make it."""

from app.engine.health.both import BOTH_RULES
from app.engine.health.series import Found, Rule, Series, mean

LOSS_RISEN, LOSS_RISEN_BY = 1.5, 0.5
"""Times the best loss, and how far above it at least."""

LOSS_LEFT, LOSS_LOGS = 0.95, 40
"""Share of the first loss that is hardly a fall, and logs before it is judged."""

OVERFIT_RISE, OVERFIT_RISE_BY = 1.2, 0.05
"""Times the best held-out loss on two checks running, and how far above it at least."""

OVERFIT_FAR, OVERFIT_RATIO = 1.5, 2.0
"""Times the best held-out loss, and times the training loss, at which there is nothing left to win."""

MEMORISED_ACCURACY, MEMORISED_LOSS, MEMORISED_RATIO = 0.98, 0.02, 3
"""Share of the demonstrations' tokens, or loss on them, and times this that the held-out loss still is."""

ENTROPY_LEFT_SFT, SURER = 0.3, 2
"""Share of the first entropy, and times the present one that the held-out loss is: surer than it is right."""

LONGER, MUCH_LONGER = 1.3, 2.0
"""Times the reference's length."""

DEFERENCE_RISEN, DEFERENCE_RISEN_BY = 1.5, 0.1


def loss_climbs(series: Series) -> Found | None:
    losses = series.all("loss")
    if len(losses) < 10:
        return None
    start, now = mean(losses[:3]), mean(losses[-5:])
    if now < start or now < LOSS_RISEN_BY:
        return None
    best = min(start, *(mean(losses[place : place + 5]) for place in range(len(losses) - 4)))
    if now < LOSS_RISEN * best or now < best + LOSS_RISEN_BY:
        return None
    return Found(
        f"The loss rose to {now:.2f}, above where it began ({start:.2f}) and its best ({best:.2f}): the "
        "learning rate is too high.",
        "Start again with a third of it.",
        now,
    )


def loss_stands(series: Series) -> Found | None:
    """Needs forty logs: shorter runs show too little to tell."""
    losses = series.all("loss")
    if len(losses) < LOSS_LOGS:
        return None
    start, now = mean(losses[:5]), mean(losses[-10:])
    if now <= LOSS_LEFT * start:
        return None
    return Found(
        f"After {len(losses)} steps the loss is {now:.2f}, hardly below the {start:.2f} it began with: "
        "little is being learned.",
        "Raise the learning rate, or check that the demonstrations answer their prompts.",
        now,
    )


def over_fits(series: Series) -> Found | None:
    """Two checks running, since one may be chance. A loss that rises everywhere is no over-fitting."""
    held = series.all("held_out/loss")
    if len(held) < 3 or not _is_fitting(series):
        return None
    best, now = min(held), min(held[-2:])
    if now < OVERFIT_RISE * best or now < best + OVERFIT_RISE_BY:
        return None
    return Found(
        f"The loss on held-out rows rose from its best {best:.2f} to {held[-1]:.2f} while the model went on "
        "fitting its demonstrations: it is over-fitting.",
        "Keep the best checkpoint, and train for fewer epochs or on more rows.",
        held[-1],
    )


def _is_fitting(series: Series) -> bool:
    """The first two losses are those before the rate could do any harm."""
    return mean(series.last("loss", 5)) <= mean(series.first("loss", 2))


def over_fits_far(series: Series) -> Found | None:
    held, losses = series.all("held_out/loss"), series.last("loss", 5)
    if len(held) < 3 or not losses or not series.is_at_check or not _is_fitting(series):
        return None
    best, now, fitted = min(held), min(held[-2:]), mean(losses)
    if now < OVERFIT_FAR * best or now < best + OVERFIT_RISE_BY or now < OVERFIT_RATIO * fitted:
        return None
    return Found(
        f"The loss on held-out rows is {held[-1]:.2f}, {held[-1] / best:.1f} times its best ({best:.2f}) and "
        f"far above that on the demonstrations ({fitted:.2f}): training longer only makes the model worse.",
        "Keep the best checkpoint, and train for fewer epochs or on more rows.",
        held[-1],
    )


def memorises(series: Series) -> Found | None:
    held, losses = series.last("held_out/loss", 3), series.last("loss", 10)
    accuracy = series.last("mean_token_accuracy", 10)
    if not held or not losses or not accuracy or not series.is_at_check:
        return None
    knows_by_heart = mean(accuracy) > MEMORISED_ACCURACY or mean(losses) < MEMORISED_LOSS
    if not knows_by_heart or held[-1] < 0.98 * held[0] or held[-1] < MEMORISED_RATIO * mean(losses):
        return None
    return Found(
        f"The model knows its demonstrations by heart ({mean(accuracy):.0%} of their tokens right, loss "
        f"{mean(losses):.3f}), while the loss on held-out rows stands at {held[-1]:.2f}.",
        "Stop here, or train on more and more varied rows; further epochs only repeat these.",
        mean(accuracy),
    )


def diversity_falls(series: Series) -> Found | None:
    """Low entropy is right where the answers leave no choice; it is not where held-out rows surprise."""
    start, now = series.first("entropy", 10), series.last("entropy", 10)
    held = series.last("held_out/loss", 1) if series.is_at_check else ()
    if len(series.all("entropy")) < 20 or not held or mean(now) > ENTROPY_LEFT_SFT * mean(start):
        return None
    if held[-1] < SURER * mean(now):
        return None
    return Found(
        f"The model has become far surer than it is right: entropy {mean(now):.3f}, {mean(start):.3f} at the "
        f"start, against a loss of {held[-1]:.2f} on held-out rows. Answers grow alike.",
        "Train for fewer epochs, or on more varied demonstrations.",
        mean(now),
    )


def verbose(series: Series) -> Found | None:
    return _longer_than_references(series, LONGER)


def very_verbose(series: Series) -> Found | None:
    return _longer_than_references(series, MUCH_LONGER)


def _longer_than_references(series: Series, times: float) -> Found | None:
    """On the last three checks, and not on the way down: an untrained model often rambles at first."""
    ratios = series.last("held_out/length_ratio", 3)
    if not ratios or min(ratios) <= times or ratios[-1] < 0.9 * max(ratios):
        return None
    return Found(
        f"Held-out answers are {ratios[-1]:.1f} times as long as their references.",
        "Look for padded answers among the demonstrations: SFT copies their length and tone.",
        ratios[-1],
    )


def defers(series: Series) -> Found | None:
    shares = series.all("held_out/deference")
    if len(shares) < 3:
        return None
    start, now = shares[0], mean(shares[-2:])
    if now < DEFERENCE_RISEN * start or now < start + DEFERENCE_RISEN_BY:
        return None
    return Found(
        f"{now:.0%} of held-out answers now open by agreeing, thanking, apologising or flattering; "
        f"{start:.0%} did at first.",
        "If that is not the voice you want, remove such openings from the demonstrations.",
        now,
    )


SFT_RULES = (
    *BOTH_RULES,
    Rule("loss_climbs", "warn", "loss", ("ms-azure", "own"), loss_climbs),
    Rule("loss_stands", "warn", "loss", ("ms-azure", "own"), loss_stands),
    Rule("over_fits", "warn", "held_out/loss", ("ms-azure", "own"), over_fits),
    Rule("over_fits_far", "stop", "held_out/loss", ("ms-azure", "own"), over_fits_far),
    Rule("memorises", "warn", "mean_token_accuracy", ("ms-azure", "own"), memorises),
    Rule("diversity_falls", "warn", "entropy", ("li2024", "own"), diversity_falls),
    Rule("verbose", "warn", "held_out/length_ratio", ("ms-azure", "own"), verbose),
    Rule("very_verbose", "stop", "held_out/length_ratio", ("ms-azure", "own"), very_verbose),
    Rule("defers", "warn", "held_out/deference", ("wei2023", "sharma2023", "own"), defers),
)

REWARD_MODEL_RULES = (
    *BOTH_RULES,
    Rule("loss_climbs", "warn", "loss", ("ms-azure", "own"), loss_climbs),
)
"""A reward model's loss may stand near its start and still rank well, so nothing is concluded from it."""
