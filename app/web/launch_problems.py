"""What a run's spec refuses, in the words and at the place of the launch form's fields."""

from pydantic_core import ErrorDetails

from app.web.run_settings import ALL

FIELD_OF_PART = {
    "model": "model",
    "dataset": "dataset",
    "grader": "grader",
    "draft_grader": "draft_grader",
    "independent_graders": "independent.0",
    "on_finding": "conduct.on_finding",
    "keep": "conduct.keep",
}


def place_of(error: ErrorDetails, method: str) -> str:
    """The id of the field that an error of the spec belongs to."""
    place = [str(step) for step in error["loc"]]
    match place:
        case []:
            return "grader" if "grader" in error["msg"] else "name"
        case ["recipe", *rest]:
            return _of_recipe(rest, method)
        case ["limits", *rest]:
            return f"limits.{rest[0]}" if rest else "limits.price_per_gpu_hour"
        case ["evaluation", "guard", part, *_]:
            return f"guard.{part}"
        case ["evaluation", setting, *_]:
            return f"evaluation.{setting}"
        case ["model", "hub", part]:
            return f"hub_{part}"
        case [("grader" | "draft_grader") as prefix, kind, part, *_]:
            return f"{prefix}.{kind}.{part}"
    return FIELD_OF_PART.get(place[0], place[0])


def _of_recipe(rest: list[str], method: str) -> str:
    match rest:
        case [_, "tuning", _, part, *_]:
            return f"tuning.{part}"
        case [_, "tuning", *_]:
            return "tuning"
        case [_, "advanced", *_]:
            return f"{method}.advanced"
        case [_, part, *_]:
            return f"{method}.{part}"
    return f"{method}.prompts" if method == "probe" else f"{method}.batch_size"


def words_of(error: ErrorDetails, where: str) -> str:
    label = label_of(where)
    if error["type"] == "value_error":
        sentence = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
        return f"{sentence[:1].upper()}{sentence[1:]}."
    if error["type"] == "string_pattern_mismatch" and where in _PATTERNS:
        return _PATTERNS[where]
    said = _SAID.get(error["type"])
    if said is None:
        return f"{label}: {error['msg']}."
    return said.format(label=label, **error.get("ctx", {}))


_SAID = {
    "greater_than": "{label} must be greater than {gt:g}.",
    "greater_than_equal": "{label} must be at least {ge:g}.",
    "less_than": "{label} must be less than {lt:g}.",
    "less_than_equal": "{label} must be at most {le:g}.",
    "finite_number": "{label} is too large a number.",
    "missing": "{label} is missing.",
    "string_too_short": "{label} is missing.",
    "string_too_long": "{label} must be at most {max_length} characters long.",
    "string_pattern_mismatch": "{label} has characters that cannot be used here.",
    "literal_error": "{label} must be {expected}.",
}

_PATTERNS = {
    "hub_id": "A Hugging Face id looks like owner/name, for example Qwen/Qwen3-0.6B.",
    "hub_revision": "A revision is a commit, branch or tag: letters, digits, points, dashes.",
}


def label_of(where: str) -> str:
    prefix, _, name = where.partition(".")
    for setting in ALL.get(prefix, ()):
        if setting.name == name:
            return setting.label
    return name.rsplit(".", 1)[-1].replace("_", " ").capitalize() or where.replace("_", " ").capitalize()
