"""How GRPO fails: no signal, a reward that no longer stands for the goal, collapse, rambling, unlearning."""

from app.engine.health.series import Found, Series, gain, mean, smoothed

MASTERED = 0.9
"""Mean reward at which groups agree because there is little left to learn."""

UNTOUCHED = 2
"""The first steps' answers come from the model before, or nearly before, its first update."""

LEARNT = 0.1
"""Rise of the mean reward since the start that shows the run at work, whatever else it does."""

NEVER_STEPS = 20
DEAD_SHARE, DEAD_STEPS = 0.8, 10
REWARD_LEFT = 0.5
"""Share of the first mean reward below which a model is broken."""

ENTROPY_LEFT = 1 / 3
CLIPPED_SHARE, CLIPPED_AT_FIRST, CLIPPED_RISE = 0.5, 0.25, 0.25
ALL_CLIPPED, ALL_CLIPPED_STEPS = 0.99, 20
LENGTH_LEFT, LENGTH_DOUBLED, LENGTH_TREBLED, WRONG_GROWN, RIGHT_GROWN = 0.2, 2, 3, 1.5, 1.15
PROGRESS_STEPS = 100
GAIN_LOST = 0.5
ERRORS_STOP, ERRORS_WARN = 0.05, 0.01
DRIFT_WARN, DRIFT_STOP = 5, 10
MISMATCH_LOW, MISMATCH_HIGH = 0.8, 1.25
PLATEAU_STEPS, PLATEAU_SHARE = 200, 0.01
"""Logs before a plateau is judged, and the share of the whole gain that the last fifth of them brought."""


def never_any_signal(series: Series) -> Found | None:
    dead = series.first("frac_reward_zero_std", NEVER_STEPS)
    if len(dead) < NEVER_STEPS or min(dead) < 1.0:
        return None
    level = mean(series.first("reward", NEVER_STEPS))
    advice = (
        "The model already scores full marks, so this task has nothing left to teach it."
        if level >= MASTERED
        else "Start from a model that sometimes succeeds: a short SFT first, easier prompts, or a grader "
        "that gives partial credit."
    )
    return Found(
        "In each of the first 20 steps all answers of every group scored the same "
        f"(mean reward {level:.2f}), and GRPO learns only from differences.",
        advice,
        1.0,
    )


def dead_groups(series: Series) -> Found | None:
    dead, rewards = series.last("frac_reward_zero_std", DEAD_STEPS), series.last("reward", DEAD_STEPS)
    if not dead or not rewards or min(dead) <= DEAD_SHARE or _has_fallen(series):
        return None
    if mean(rewards) >= MASTERED or _has_learnt(series):
        return None
    return Found(
        f"For 10 steps more than four groups in five had answers that all scored the same "
        f"(mean reward {mean(rewards):.2f}), so most of the work teaches nothing.",
        "Use prompts of medium difficulty, or more completions a group.",
        mean(dead),
    )


def signal_lost(series: Series) -> Found | None:
    """Without differences every gradient is nil, so a model that broke stays broken."""
    dead = series.last("frac_reward_zero_std", DEAD_STEPS)
    if not dead or min(dead) < 1.0 or not _has_fallen(series):
        return None
    start, now = mean(series.first("reward", UNTOUCHED)), mean(series.last("reward", 10))
    return Found(
        f"The model broke: its mean reward fell from {start:.2f} to {now:.2f}, and for 10 steps no group's "
        "answers differed in score, so it can no longer learn.",
        "Start again with a learning rate at least three times lower.",
        now,
    )


def _has_fallen(series: Series) -> bool:
    start, now = series.first("reward", UNTOUCHED), series.last("reward", 10)
    return bool(now) and mean(start) >= 0.05 and mean(now) < REWARD_LEFT * mean(start)


def _has_learnt(series: Series) -> bool:
    return (gain(series) or 0.0) >= LEARNT


def entropy_collapses(series: Series) -> Found | None:
    """A fall alone is normal while the reward rises; collapse is a fall that buys nothing."""
    start, now = series.first("entropy", 5), series.last("entropy", 10)
    if len(series.all("entropy")) < 20 or mean(now) > ENTROPY_LEFT * mean(start):
        return None
    if gain(series) is None or _has_learnt(series) or mean(series.last("reward", 10)) >= MASTERED:
        return None
    return Found(
        f"The answers have become nearly all alike (entropy {mean(now):.3f}, {mean(start):.3f} at the "
        "start) without the reward rising.",
        "Lower the learning rate, or raise the temperature or epsilon_high.",
        mean(now),
    )


def truncation(series: Series) -> Found | None:
    start, now = _clipped(series)
    if now <= CLIPPED_SHARE or start <= CLIPPED_AT_FIRST:
        return None
    return Found(
        f"{now:.0%} of the answers are cut off at the length limit, so they are graded unfinished.",
        "Raise max_completion_length, or warm the model up on shorter demonstrations.",
        now,
    )


def truncation_grows(series: Series) -> Found | None:
    start, now = _clipped(series)
    if now < start + CLIPPED_RISE:
        return None
    return Found(
        f"The share of answers cut off at the length limit grew from {start:.0%} to {now:.0%}: the model has "
        "begun to ramble.",
        "Lower the learning rate; if the longer answers are good ones, raise max_completion_length.",
        now,
    )


def _clipped(series: Series) -> tuple[float, float]:
    """At the start and over the last five of at least ten steps."""
    name = "completions/clipped_ratio"
    if len(series.all(name)) < 10:
        return 0.0, 0.0
    return mean(series.first(name, UNTOUCHED)), mean(series.last(name, 5))


def all_cut_off(series: Series) -> Found | None:
    clipped = series.last("completions/clipped_ratio", ALL_CLIPPED_STEPS)
    if not clipped or min(clipped) < ALL_CLIPPED or _has_learnt(series):
        return None
    return Found(
        f"For {ALL_CLIPPED_STEPS} steps practically every answer was cut off at the length limit, so the "
        "grader never saw a finished one.",
        "Raise max_completion_length, or start from a model that ends its answers.",
        clipped[-1],
    )


def length_collapses(series: Series) -> Found | None:
    start, now = _lengths(series)
    if now is None or now >= LENGTH_LEFT * start:
        return None
    return Found(
        f"Answers shrank from {start:.0f} to {now:.0f} tokens: the model may have found a short answer that "
        "the grader lets pass.",
        "Read some samples.",
        now,
    )


def length_grows(series: Series) -> Found | None:
    """Longer answers that are better answers are what reasoning looks like."""
    start, now = _lengths(series)
    if now is None or now < LENGTH_DOUBLED * start or _has_learnt(series):
        return None
    return Found(
        f"Answers grew from {start:.0f} to {now:.0f} tokens without the reward rising.",
        'Read some samples; loss_type "dr_grpo" does not pay for the length of wrong answers.',
        now,
    )


def length_runs_away(series: Series) -> Found | None:
    start, now = _lengths(series)
    if now is None or now < LENGTH_TREBLED * start or _has_learnt(series):
        return None
    return Found(
        f"Answers grew from {start:.0f} to {now:.0f} tokens, over three times, without the reward rising.",
        'Start again with loss_type "dr_grpo", a length term in the reward or a lower learning rate.',
        now,
    )


def _lengths(series: Series) -> tuple[float, float | None]:
    name = "completions/mean_length"
    if len(series.all(name)) < 30:
        return 0.0, None
    return mean(series.first(name, 20)), mean(series.last(name, 10))


def wrong_answers_grow(series: Series) -> Found | None:
    wrong, right = series.all("completions/mean_length_wrong"), series.all("completions/mean_length_right")
    if min(len(wrong), len(right)) < 30:
        return None
    start, now = mean(wrong[:20]), mean(wrong[-10:])
    if now < WRONG_GROWN * start or mean(right[-10:]) > RIGHT_GROWN * mean(right[:20]):
        return None
    return Found(
        f"Wrong answers grew from {start:.0f} to {now:.0f} tokens while right ones did not: length is being "
        "rewarded, not care.",
        'Use loss_type "dr_grpo", or a reward with a term for length.',
        now,
    )


def no_progress(series: Series) -> Found | None:
    rewards = series.all("reward")
    if len(rewards) < PROGRESS_STEPS:
        return None
    start, now = mean(rewards[:20]), mean(rewards[-20:])
    if now > start or now >= MASTERED:
        return None
    return Found(
        f"After {len(rewards)} steps the mean reward is {now:.2f}, no better than the {start:.2f} it began "
        "with.",
        "More steps are unlikely to help; change the learning rate, the prompts or the grader.",
        now,
    )


def reward_falls_back(series: Series) -> Found | None:
    """Best and latest of the smoothed reward; the first four are too few to be an average."""
    smooth = smoothed(series.all("reward"))
    if len(smooth) < 20:
        return None
    start, best, now = smooth[4], max(smooth[4:]), smooth[-1]
    if best - start < LEARNT or best - now < GAIN_LOST * (best - start):
        return None
    return Found(
        f"The mean reward fell back from {best:.2f} to {now:.2f}, more than half of what it had gained.",
        "Keep the best checkpoint, and lower the learning rate.",
        now,
    )


def finished_early(series: Series) -> Found | None:
    smooth = smoothed(series.all("reward"))
    if len(smooth) < PLATEAU_STEPS:
        return None
    lowest, best, before = min(smooth[4:]), max(smooth), max(smooth[: -len(smooth) // 5])
    if before - lowest < LEARNT or best - before >= PLATEAU_SHARE * (best - lowest):
        return None
    return Found(
        f"The last fifth of {len(smooth)} steps brought no more reward (it stands at {smooth[-1]:.2f}).",
        "The run has probably learnt what it can; it may be stopped here.",
        smooth[-1],
    )


def grader_fails(series: Series) -> Found | None:
    errors = series.last("grader/errors", 10)
    if not errors or mean(errors) <= ERRORS_STOP:
        return None
    return Found(
        f"The grader failed on {mean(errors):.0%} of the answers of the last 10 steps, more than one in "
        "twenty, so the reward says little about the model.",
        "Try the grader on the rows it fails on.",
        mean(errors),
    )


def grader_sometimes_fails(series: Series) -> Found | None:
    errors = series.last("grader/errors", 5)
    if not errors or mean(errors) <= ERRORS_WARN:
        return None
    return Found(
        f"The grader failed on {mean(errors):.1%} of the answers of the last 5 steps; they are left out.",
        "Try it on such rows.",
        mean(errors),
    )


def drifts(series: Series) -> Found | None:
    return _drifted(series, DRIFT_WARN)


def drifts_far(series: Series) -> Found | None:
    return _drifted(series, DRIFT_STOP)


def _drifted(series: Series, limit: float) -> Found | None:
    """Needs beta above 0; without it no divergence is logged."""
    divergence = series.last("kl", 5)
    if not divergence or mean(divergence) <= limit:
        return None
    return Found(
        f"The model has moved far from where it started: a divergence of {mean(divergence):.1f} nats a token "
        f"(KL), above {limit}.",
        "Raise beta or lower the learning rate, and compare samples with the starting model's.",
        mean(divergence),
    )


def engines_disagree(series: Series) -> Found | None:
    ratios = series.last("sampling/importance_sampling_ratio/mean", 5)
    if not ratios or MISMATCH_LOW <= mean(ratios) <= MISMATCH_HIGH:
        return None
    return Found(
        f"The sampling engine and the trainer disagree on how likely answers are (mean ratio "
        f"{mean(ratios):.2f}, 1 when they agree), so the model learns from answers that are not its own.",
        "Use the same precision in both, or generate without vLLM.",
        mean(ratios),
    )
