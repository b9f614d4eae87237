"""A run put into words for its page: what happens now, what it is made of, and how numbers are written."""

from collections.abc import Mapping, Sequence

from app.protocol import DatasetRef, Evaluation, ModelRef, RunState
from app.run_view import RunView

MINUTE, HOUR = 60, 3600

METHODS = {"sft": "SFT", "grpo": "GRPO", "reward_model": "Reward model", "probe": "Probe"}


def duration(seconds: float | None) -> str:
    """As the live page writes it: `42 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    if whole >= HOUR:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // MINUTE} min {whole % MINUTE} s" if whole >= MINUTE else f"{whole} s"


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}\u00a0%"


def size(count: int) -> str:
    """Bytes as people read them."""
    value = float(count)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def quantity(value: float | None, unit: str) -> str:
    """A metric's value, written exactly as the script of the live page writes it."""
    if value is None:
        return "no value"
    if unit == "%":
        return percent(value, 1 if value and abs(value) < 0.1 else 0)
    magnitude = abs(value)
    if magnitude and magnitude < 0.001:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent):+d}"
    digits = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2 if magnitude >= 1 else 3
    text = f"{value:,.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{text}\u00a0{unit}" if unit else text


def count_of(count: int, what: str) -> str:
    """`1 check`, `1,200 checks`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], joint: str = "and") -> str:
    """`a, b and c`."""
    return f" {joint} ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def sentence(words: str) -> str:
    """Reports of the engine are notes; on a page they are sentences."""
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")


# What happens now


def opening(view: RunView) -> str:
    match view.state:
        case RunState.SUCCEEDED:
            return _verdict(view)
        case RunState.FAILED:
            return view.failure.reason if view.failure else "The run failed."
        case RunState.CANCELLED:
            return f"Stopped on request after {_steps(view)}."
        case RunState.RUNNING:
            return _course(view)
        case RunState.PAUSED if view.detail:
            return sentence(view.detail)
        case RunState.EVALUATING:
            if view.kind == "probe":
                return "The model answers, and the grader scores what it says."
            when = "before training" if view.before is None else "after training"
            return f"Measuring the model on held-out items, {when}."
    return view.words + ("" if view.words.endswith(".") else ".")


def _verdict(view: RunView) -> str:
    if view.kind == "starter":
        return "The starter model is ready: runs can begin from it."
    if view.after is None:
        return f"Succeeded after {_steps(view)}."
    if view.before is None:
        share = percent(view.after.sampled.value)
        return f"{share} of the held-out answers are right; the start was not measured."
    return _compared(view.before, view.after)


def _compared(before: Evaluation, after: Evaluation) -> str:
    if after.agreement and before.agreement:
        return (
            f"It agrees with people on {percent(after.agreement.share.value)} of the held-out pairs, "
            f"before training on {percent(before.agreement.share.value)}."
        )
    if not after.sampled.n and after.loss is not None and before.loss is not None:
        old, new = quantity(before.loss, ""), quantity(after.loss, "")
        return f"The held-out loss is {new}; before training it was {old}."
    return (
        f"{percent(after.sampled.value)} of the held-out answers are right, "
        f"{percent(before.sampled.value)} were before training."
    )


def _steps(view: RunView) -> str:
    return f"step {view.step} of {view.total_steps}" if view.total_steps else f"step {view.step}"


MATTERS = {
    "sft": ("loss", "loss", ""),
    "starter": ("loss", "loss", ""),
    "grpo": ("reward", "reward", "%"),
    "reward_model": ("accuracy", "agreement", "%"),
}
"""By method: TRL's name of the metric that a sentence quotes, its title and unit."""

SETTLED = 5
"""Steps that are averaged before a metric is quoted in a sentence."""


def _course(view: RunView) -> str:
    """Where the metric that matters stands, against where it began; single steps are too noisy to quote."""
    key, title, unit = MATTERS.get(view.kind, MATTERS["sft"])
    points = view.metrics.get(key, [])
    if len(points) < 2:
        return "Training has begun."
    few = max(1, min(SETTLED, len(points) // 2))
    now = sum(point.value for point in points[-few:]) / few
    first = sum(point.value for point in points[:few]) / few
    way = "up from" if now > first else "down from" if now < first else "as"
    return f"Training: the {title} is about {quantity(now, unit)}, {way} {quantity(first, unit)} at first."


# What a run is made of


def model_words(model: ModelRef) -> str:
    match model.kind:
        case "starter":
            return "the starter model"
        case "hub":
            return f"{model.id} from the Hugging Face hub" + (
                f" at {model.revision}" if model.revision else ""
            )
        case "local":
            return f"the worker’s local model {model.name}"


def dataset_words(dataset: DatasetRef | None, names: Mapping[str, str]) -> str:
    """`names`: what uploaded datasets are called, by content hash."""
    if dataset is None:
        return "no dataset"
    if dataset.kind == "generated":
        return f"the generated task “{dataset.name}”"
    return f"your dataset “{names.get(dataset.sha256, dataset.sha256[:12])}”"
