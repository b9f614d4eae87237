"""What a recipe starts from, by method, tuning, model size and rows; each value with reason and sources."""

from collections.abc import Iterator
from tomllib import loads
from typing import Annotated, Literal

from pydantic import Field

from app.advisor.conditions import Rule

RecipeMethod = Literal["sft", "grpo", "reward_model"]
TuningKind = Literal["full", "lora", "qlora"]
DefaultValue = bool | int | float | str


class Bounds(Rule):
    at_least: Annotated[float, Field(ge=0, alias="from")] = 0
    below: Annotated[float, Field(gt=0)] | None = None

    def hold(self, number: float | None) -> bool:
        """What is not known is in no bounds."""
        if number is None:
            return False
        return self.at_least <= number and (self.below is None or number < self.below)


class Case(Rule):
    tuning: tuple[TuningKind, ...] = ()
    parameters: Bounds | None = None
    rows: Bounds | None = None
    value: DefaultValue | None = None

    def holds(self, tuning: TuningKind, parameters: float | None, rows: int | None) -> bool:
        return (
            (not self.tuning or tuning in self.tuning)
            and (self.parameters is None or self.parameters.hold(parameters))
            and (self.rows is None or self.rows.hold(rows))
        )


class DefaultRule(Rule):
    name: str
    why: str
    sources: tuple[str, ...]
    value: DefaultValue
    cases: tuple[Case, ...] = ()


class RecipeDefault(Rule):
    name: str
    """As in the recipe; `rank`, `alpha` and `dropout` as in its tuning."""
    value: DefaultValue
    why: str
    sources: tuple[str, ...]
    """Ids of the rulebook's evidence."""


class DefaultsFile(Rule):
    sft: tuple[DefaultRule, ...]
    grpo: tuple[DefaultRule, ...]
    reward_model: tuple[DefaultRule, ...]

    def of(self, method: RecipeMethod) -> tuple[DefaultRule, ...]:
        return {"sft": self.sft, "grpo": self.grpo, "reward_model": self.reward_model}[method]


def read_defaults(text: str) -> DefaultsFile:
    """`text` is what `app/advisor/defaults.toml` holds; this package opens no files."""
    return DefaultsFile.model_validate(loads(text), strict=False)


def recipe_defaults(
    file: DefaultsFile,
    method: RecipeMethod,
    tuning: TuningKind,
    parameters: float | None = None,
    rows: int | None = None,
) -> dict[str, RecipeDefault]:
    """By name. `parameters` of the model, `rows` to train on; None where it is not known."""
    return {found.name: found for found in _found(file, method, tuning, parameters, rows)}


def _found(
    file: DefaultsFile, method: RecipeMethod, tuning: TuningKind, parameters: float | None, rows: int | None
) -> Iterator[RecipeDefault]:
    for rule in file.of(method):
        case = next((each for each in rule.cases if each.holds(tuning, parameters, rows)), None)
        value = rule.value if case is None else case.value
        if value is not None:
            yield RecipeDefault(name=rule.name, value=value, why=rule.why, sources=rule.sources)
