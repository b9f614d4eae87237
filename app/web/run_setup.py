"""What a run was set to, as its page lists it."""

from collections.abc import Mapping, Sequence

from app.protocol import Grader, RunSpec
from app.web.launch_values import text
from app.web.recipe_settings import BY_METHOD, Setting
from app.web.run_settings import ADAPTER, CONDUCT, EVALUATION, LIMITS

Rows = list[tuple[str, str]]

TUNINGS = {"full": "all weights", "lora": "LoRA", "qlora": "QLoRA"}

GRADER_WORDS: Mapping[str, str] = {
    "string_check": "text compared",
    "text_similarity": "similarity of texts",
    "regex": "pattern found and compared",
    "math": "mathematical answer compared",
    "json_schema": "valid JSON",
    "sql": "SQL",
    "python": "Python in a sandbox",
    "score_model": "judged by a model",
    "reward_model": "reward model",
    "length": "length",
    "self_correction": "draft and revision",
    "multi": "several graders joined",
}


def setting_rows(spec: RunSpec) -> list[tuple[str, Rows]]:
    recipe = spec.recipe
    if recipe.kind == "starter":
        return []
    if recipe.kind == "probe":
        return [("Probing", _rows(recipe, BY_METHOD["probe"])), ("Graders", _graders(spec))]
    tuning = [("Trained", TUNINGS[recipe.tuning.kind])]
    tuning += _rows(recipe.tuning, ADAPTER) if recipe.tuning.kind != "full" else []
    found: list[tuple[str, Rows]] = [
        ("Training", [*_budget(spec), *_rows(recipe, BY_METHOD[recipe.kind])]),
        ("Advanced", [(name, str(value)) for name, value in recipe.advanced.items()]),
        ("Tuning", tuning),
        ("Limits", [row for row in _rows(spec.limits, LIMITS) if row[1] != NOT_SET]),
        ("Conduct", _rows(spec, CONDUCT)),
        ("Graders", _graders(spec)),
        ("Evaluation", _rows(spec.evaluation, EVALUATION)),
    ]
    return [(title, values) for title, values in found if values]


def _budget(spec: RunSpec) -> Rows:
    return [("Ends after", f"{spec.train_minutes:g} minutes")] if spec.train_minutes is not None else []


NOT_SET = "not set"


def _rows(whole: object, settings: Sequence[Setting]) -> Rows:
    return [(each.label, shown(each, getattr(whole, each.name))) for each in settings]


def shown(setting: Setting, value: object) -> str:
    if setting.kind == "yes_no":
        return "yes" if value else "no"
    if setting.kind == "choice":
        return dict(setting.choices).get(str(value), str(value)).lower()
    return f"{text(value)} {setting.unit}".strip() if value not in (None, []) else NOT_SET


def grader_words(grader: Grader) -> str:
    return f"{grader.name} ({GRADER_WORDS[grader.type]})"


def _graders(spec: RunSpec) -> Rows:
    guard = spec.evaluation.guard
    found = [
        ("Answer", spec.grader),
        ("Draft", spec.draft_grader),
        *(("Independent", each) for each in spec.independent_graders),
        ("Guard set", guard.grader if guard else None),
    ]
    return [(label, grader_words(grader)) for label, grader in found if grader is not None]
