"""What a good answer is. The schema is OpenAI's where it has one, and ours in its manner beyond that.

`{{ item.x }}` and `{{ sample.output_text }}` are filled in by plain substitution, never by a template engine.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from app.protocol.words import Message, RunId, ShareOfOne

Template = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
GraderName = Annotated[str, StringConstraints(min_length=1, max_length=80)]

OUTPUT = "{{ sample.output_text }}"


class StringCheck(Message):
    type: Literal["string_check"] = "string_check"
    name: GraderName
    input: Template = OUTPUT
    reference: Template
    operation: Literal["eq", "ne", "like", "ilike"] = "eq"


class TextSimilarity(Message):
    """How near the answer comes to the reference, 0 to 1, by a measure that libraries define.

    OpenAI's `cosine` and `meteor` are not offered: they need a model or a downloaded corpus.
    """

    type: Literal["text_similarity"] = "text_similarity"
    name: GraderName
    input: Template = OUTPUT
    reference: Template
    evaluation_metric: Literal[
        "fuzzy_match", "bleu", "gleu", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"
    ] = "fuzzy_match"
    pass_threshold: ShareOfOne = 0.8
    """From here on an answer counts as right."""


class Regex(Message):
    """Full score when the chosen match's first group (or whole match) equals the reference."""

    type: Literal["regex"] = "regex"
    name: GraderName
    input: Template = OUTPUT
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    """RE2 syntax: linear time, no look-around, no back-references."""
    match: Literal["first", "last", "any"] = "last"
    reference: Template | None = None
    """Without a reference any match scores 1."""


class Math(Message):
    """Full score when the answer's number or formula equals the reference: `1/2`, `0.5`, `\\frac{1}{2}`.

    Of several, a boxed one counts before one after "the answer is", and of equals the last.
    """

    type: Literal["math"] = "math"
    name: GraderName
    input: Template = OUTPUT
    reference: Template


class JsonSchema(Message):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    type: Literal["json_schema"] = "json_schema"
    name: GraderName
    input: Template = OUTPUT
    json_schema: dict[str, Any] = Field(alias="schema")


class Sql(Message):
    """Does it parse? With a fixture: does it return the same rows as the reference query?"""

    type: Literal["sql"] = "sql"
    name: GraderName
    input: Template = OUTPUT
    fixture: Annotated[str, StringConstraints(max_length=64_000)] | None = None
    """SQLite statements that build the database both queries are asked of."""
    reference: Template | None = None
    """The right query; needed with a fixture."""
    ordered: bool = False
    """Whether the rows' order counts."""


class Python(Message):
    """`grade(sample, item) -> float | None`, run in a sandbox; None abstains.

    `sample` holds `output_text`, `output_json` (None where the answer is no JSON) and `prompt`. Lent are
    `similarity(a, b)`, `math_equal(a, b)`, `json_valid(text, schema)`, `literal(text)` and, for answers that
    are programs, `run(program, function, arguments)`, which runs them apart and gives back plain JSON.
    """

    type: Literal["python"] = "python"
    name: GraderName
    source: Annotated[str, StringConstraints(min_length=1, max_length=32_000)]
    sandbox: Literal["monty", "cage"] = "monty"
    """`monty`: a small Python of its own, fast. `cage`: all of CPython and its standard library, on Linux."""
    low: Annotated[float, Field(ge=-1, le=1)] = 0.0
    high: Annotated[float, Field(ge=-1, le=1)] = 1.0
    """The range that scores are clipped to; it is mapped onto 0 to 1."""
    pass_threshold: ShareOfOne = 1.0

    @model_validator(mode="after")
    def _rising(self) -> "Python":
        if self.low >= self.high:
            raise ValueError("low must be below high")
        return self


class JudgeMessage(Message):
    role: Literal["system", "user", "assistant"]
    content: Template


class ScoreModel(Message):
    """A judge: an OpenAI-compatible endpoint that the worker's operator configured."""

    type: Literal["score_model"] = "score_model"
    name: GraderName
    model: Annotated[str, StringConstraints(max_length=200)] = ""
    """Empty means the endpoint's configured model."""
    input: Annotated[list[JudgeMessage], Field(min_length=1, max_length=20)]
    range: Annotated[list[float], Field(min_length=2, max_length=2)] = [0.0, 1.0]
    """Lowest and highest score the judge may give; mapped onto 0 to 1."""
    pass_threshold: ShareOfOne = 0.5

    @model_validator(mode="after")
    def _rising(self) -> "ScoreModel":
        if self.range[0] >= self.range[1]:
            raise ValueError("the range must rise, as in [0, 1]")
        return self


class RewardModelGrader(Message):
    """A reward model that an earlier `reward_model` run trained on preference pairs."""

    type: Literal["reward_model"] = "reward_model"
    name: GraderName
    run: RunId
    pass_threshold: ShareOfOne = 0.5
    """The score is the calibrated chance of being preferred to the pairs' average answer."""


class Length(Message):
    """Full score inside the bounds, falling to nothing at half the lower and twice the upper bound."""

    type: Literal["length"] = "length"
    name: GraderName
    input: Template = OUTPUT
    unit: Literal["characters", "words"] = "words"
    low: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    high: Annotated[int, Field(ge=1, le=1_000_000)]

    @model_validator(mode="after")
    def _ordered(self) -> "Length":
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self


class SelfCorrection(Message):
    """Draft and revision: pays for a right final answer, more for mending, charges for spoiling."""

    type: Literal["self_correction"] = "self_correction"
    name: GraderName
    draft: "Grader"
    """Grades the first attempt inside the answer."""
    final: "Grader"
    """Grades the answer's last word."""
    mended: ShareOfOne = 1.0
    kept_right: ShareOfOne = 0.8
    wrong: ShareOfOne = 0.1
    spoiled: ShareOfOne = 0.0

    @property
    def pass_threshold(self) -> float:
        return min(self.mended, self.kept_right)

    @model_validator(mode="after")
    def _pays_for_mending(self) -> "SelfCorrection":
        if not self.mended >= self.kept_right > self.wrong >= self.spoiled:
            raise ValueError("the pay must fall in this order: mended, kept_right, wrong, spoiled")
        return self


class Multi(Message):
    """Several graders in one, joined by an expression over their names."""

    type: Literal["multi"] = "multi"
    name: GraderName
    graders: Annotated[dict[str, "Grader"], Field(min_length=1, max_length=12)]
    calculate_output: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    """`0.7 * right + 0.3 * short`: + - * / ^ and min, max, abs, floor, ceil, exp, sqrt, log."""
    pass_threshold: ShareOfOne = 1.0


Grader = Annotated[
    StringCheck
    | TextSimilarity
    | Regex
    | Math
    | JsonSchema
    | Sql
    | Python
    | ScoreModel
    | RewardModelGrader
    | Length
    | SelfCorrection
    | Multi,
    Field(discriminator="type"),
]

SelfCorrection.model_rebuild()
Multi.model_rebuild()


def pass_threshold(grader: Grader) -> float:
    """The score from which an answer counts as right; graders without partial credit know only 0 and 1."""
    return getattr(grader, "pass_threshold", 1.0)


# What graders are given to work with


class JudgeEndpoint(Message):
    """Where `score_model` graders ask. Its key travels apart, for this is written to disk."""

    url: str
    """Without `/chat/completions`."""
    model: str = ""
    """Asked for where the grader names none."""
    seconds: Annotated[float, Field(gt=0)] = 30
    """How long one answer may take."""
    concurrency: Annotated[int, Field(ge=1)] = 8


class SandboxLimits(Message):
    """What a batch of a `python` grader may use."""

    seconds: Annotated[float, Field(gt=0)] = 1
    """CPU time, and a hundredth of it more for each answer."""
    memory_bytes: int = 256_000_000
    """In the cage; a quarter of it in monty."""


# What it says of one answer


class Score(Message):
    kind: Literal["score"] = "score"
    value: ShareOfOne
    parts: dict[str, float | None] = {}
    """Of a `multi` or `self_correction` grader: what each part gave; None where it abstained."""


class Abstain(Message):
    """The grader does not apply to this answer."""

    kind: Literal["abstain"] = "abstain"
    why: str


class GraderError(Message):
    """The grader itself failed: never counted as the model's score."""

    kind: Literal["error"] = "error"
    why: str


Outcome = Annotated[Score | Abstain | GraderError, Field(discriminator="kind")]
