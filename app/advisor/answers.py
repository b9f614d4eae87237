"""What a user tells us: answers with their basis, the weights of the factors, and how both are read."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from app.advisor.advice import AnswerState, Basis
from app.advisor.conditions import NOT_APPLICABLE
from app.advisor.vocabulary import Question
from app.errors import Problem
from app.protocol import Message

M = TypeVar("M", bound=Message)

Note = Annotated[str, StringConstraints(max_length=2000)]
Link = Annotated[str, StringConstraints(pattern=r"^https?://[^\s<>\"]{1,2000}$")]


Tokens = Annotated[int, Field(ge=1, le=1_000_000)]
Size = Annotated[int, Field(ge=1, le=10_000_000)]
Dollars = Annotated[float, Field(ge=0, le=100_000)]
TableName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]


class PriceRange(Message):
    """US dollars for one hour of one GPU."""

    low: Dollars
    typical: Dollars
    high: Dollars

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.typical <= self.high:
            raise ValueError("low, typical and high must be in this order")
        return self


class ModelConfig(Message):
    """The part of a model's config.json that memory and arithmetic follow from; the rest is ignored."""

    model_config = ConfigDict(extra="ignore")

    num_hidden_layers: Size
    hidden_size: Size
    num_attention_heads: Size
    num_key_value_heads: Size | None = None
    """As many as attention heads where left out."""
    head_dim: Size | None = None
    """hidden_size over attention heads where left out."""
    intermediate_size: Size
    vocab_size: Size
    tie_word_embeddings: bool = False
    num_experts: Annotated[int, Field(ge=0)] | None = None
    num_local_experts: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        """Models that also see keep what belongs to text in a part of its own."""
        text = given.get("text_config") if isinstance(given, dict) else None
        return text if isinstance(text, dict) else given

    @model_validator(mode="after")
    def _is_dense(self) -> Self:
        if (self.num_experts or 0) > 1 or (self.num_local_experts or 0) > 1:
            raise ValueError(
                "a mixture of experts is not estimated; leave config out and give parameters_b, "
                "which then counts as a dense model of that size"
            )
        return self


class Hardware(Message):
    """Answer to C1: the model to train and the GPUs to train it on."""

    model: TableName | None = None
    """A model of the table, such as Qwen2.5-7B."""
    config: ModelConfig | None = None
    """For a model that the table lacks."""
    parameters_b: Annotated[float, Field(gt=0, le=5000)] | None = Field(default=None, validate_default=True)
    """Billions of parameters; enough where neither model nor config is given."""
    gpus: Annotated[int, Field(ge=0, le=4096)]
    """0 means training on the CPU."""
    gpu: TableName | None = None
    """A GPU of the table, such as H100 SXM."""
    gpu_memory_gb: Annotated[float, Field(gt=0, le=1024)] = 80.0
    """Memory of one GPU, where its name is not given."""
    gpu_price: Dollars | PriceRange | None = None
    """US dollars for one hour of one GPU; without it the table's."""
    tuning: Literal["any", "full", "lora", "qlora"] = "any"
    sharding: Literal["auto", "none", "zero2", "zero3"] = "auto"
    """How several GPUs share the model; auto shards (ZeRO-3, FSDP) only what one GPU cannot hold."""
    stack: TableName = "trl"
    """The training stack, by its name in the table."""
    rollout_engine: Literal["vllm_colocate", "vllm_server", "hf_generate"] = "vllm_colocate"

    @field_validator("parameters_b")
    @classmethod
    def _names_a_model(cls, size: float | None, info: ValidationInfo) -> float | None:
        if size is None and info.data.get("model", "") is None and info.data.get("config", "") is None:
            raise ValueError("say how large the model is: parameters_b, or model, or config")
        return size


class Workload(Message):
    """What there is to train on, as far as it is known."""

    prompt_tokens: Tokens | None = None
    tokens_per_demonstration: Tokens | None = None
    """Typical length of an ideal answer."""
    tokens_per_rollout: Tokens | None = None
    """Typical length of a sampled answer with its thinking."""
    longest_rollout: Tokens | None = None
    """The limit at which an answer is cut off."""
    completions_per_prompt: Annotated[int, Field(ge=2, le=256)] | None = None
    prompts_per_step: Annotated[int, Field(ge=1, le=4096)] | None = None
    steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Of GRPO."""
    demonstrations: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    epochs: Annotated[int, Field(ge=1, le=100)] | None = None
    """Of SFT."""
    rollout_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of a GRPO step spent sampling, where it was measured."""
    grader_seconds: Annotated[float, Field(ge=0, le=86_400)] | None = None
    """To grade one answer: a test run, a judge."""
    grader_concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Answers graded at once."""

    @model_validator(mode="after")
    def _ends_after_its_mean(self) -> Self:
        if (
            self.tokens_per_rollout
            and self.longest_rollout
            and self.longest_rollout < self.tokens_per_rollout
        ):
            raise ValueError("longest_rollout must be at least tokens_per_rollout")
        return self


class Budget(Workload):
    """Answer to C2: what the training may cost in GPU time."""

    gpu_hours: Annotated[float, Field(ge=0, le=10_000_000)]
    days: Annotated[float, Field(gt=0, le=3650)] | None = None
    """Until the model is needed."""


Quantity = Hardware | Budget


@dataclass(frozen=True, slots=True)
class Answer:
    state: AnswerState = "answered"
    choice: str | None = None
    """A choice id; for C1 and C2 it is derived from the quantity and stays empty here."""
    quantity: Quantity | None = None
    basis: Basis = "told"
    note: str = ""
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """Checked against the questions by `Rulebook.read`; a question without an answer is unknown."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    weights: Mapping[str, float] | None = None
    """Points per factor, in any unit; None means the rulebook's own."""
    measurements: Mapping[str, float] = field(default_factory=dict)
    """What inspection, probe and launch form found, by the ids the rulebook's gates name."""
    name: str = ""
    description: str = ""


class _AnswerForm(Message):
    """An answer with more than its choice; a quantity may stand inside or take the place of the whole."""

    choice: str | None = None
    quantity: dict[str, Any] | None = None
    basis: Basis = "told"
    note: Note = ""
    evidence: Link | None = None


_FORM_KEYS = frozenset(_AnswerForm.model_fields)
_QUANTITIES: Mapping[str, type[Quantity]] = {"hardware": Hardware, "budget": Budget}


def read_answer(
    question: Question, given: Any, plain: Container[str], problems: list[Problem]
) -> Answer | None:
    """None for an answer that says nothing, or after adding to `problems`; `plain` are the choices."""
    if question.kind != "choice" and isinstance(given, Mapping) and _FORM_KEYS.isdisjoint(given):
        bare = _quantity(question, given, problems)
        return None if bare is None else Answer(quantity=bare)
    form = _form(question, given, problems)
    if form is None:
        return None
    if form.choice == NOT_APPLICABLE:
        return _answer(form, "not_applicable")
    if form.quantity is not None:
        quantity = _quantity(question, form.quantity, problems)
        return None if quantity is None else _answer(form, "answered", quantity=quantity)
    if form.choice is None:
        return _answer(form, "unknown")
    if question.kind != "choice":
        problems.append(Problem(where=question.id, what=_takes_a_quantity(question)))
        return None
    if form.choice not in plain:
        problems.append(Problem(where=question.id, what=_takes_a_choice(question, form.choice)))
        return None
    return _answer(form, "answered", choice=form.choice)


def _answer(
    form: _AnswerForm, state: AnswerState, choice: str | None = None, quantity: Quantity | None = None
) -> Answer:
    return Answer(
        state=state,
        choice=choice,
        quantity=quantity,
        basis=form.basis,
        note=form.note,
        evidence=form.evidence,
    )


def _form(question: Question, given: Any, problems: list[Problem]) -> _AnswerForm | None:
    if isinstance(given, str):
        return _AnswerForm(choice=given)
    if not isinstance(given, Mapping):
        what = _takes_a_choice(question, given) if question.kind == "choice" else _takes_a_quantity(question)
        problems.append(Problem(where=question.id, what=what))
        return None
    return _validated(_AnswerForm, question.id, given, problems)


def _quantity(question: Question, given: Mapping[str, Any], problems: list[Problem]) -> Quantity | None:
    if question.kind == "choice":
        problems.append(Problem(where=question.id, what="takes a choice, not a quantity"))
        return None
    return _validated(_QUANTITIES[question.kind], question.id, given, problems)


def _validated(kind: type[M], where: str, given: Mapping[str, Any], problems: list[Problem]) -> M | None:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        for fault in error.errors():
            place = ".".join([where, *map(str, fault["loc"])])
            problems.append(Problem(where=place, what=_fix(kind, fault)))
        return None


def _fix(kind: type[Message], fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return f"is not known here; the fields are {', '.join(kind.model_fields)}"
    return fault["msg"][0].lower() + fault["msg"][1:]


def _takes_a_choice(question: Question, given: Any) -> str:
    choices = ", ".join(choice.id for choice in question.choices)
    shown = repr(given)[:80]
    return (
        f"{shown} is not one of its choices: {choices}. "
        "Send not_applicable where it does not apply, and leave it out while it is unknown."
    )


def _takes_a_quantity(question: Question) -> str:
    fields = ", ".join(_QUANTITIES[question.kind].model_fields)
    return f"takes a quantity with the fields {fields}, or not_applicable"


LARGEST_WEIGHT = 1_000_000.0
SMALLEST_WEIGHT = 1e-6


def read_weights(factors: Sequence[str], given: Any, problems: list[Problem]) -> Mapping[str, float] | None:
    """Points per factor in any unit: all five, none negative, not all 0."""
    if given is None:
        return None
    if not isinstance(given, Mapping) or given.keys() != set(factors):
        problems.append(Problem(where="weights", what=f"must name exactly these: {', '.join(factors)}"))
        return None
    for factor, weight in given.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not _is_weight(weight):
            what = f"must be 0, or a number from {SMALLEST_WEIGHT:g} to {LARGEST_WEIGHT:g}"
            problems.append(Problem(where=f"weights.{factor}", what=what))
            return None
    if not any(given.values()):
        problems.append(Problem(where="weights", what="at least one factor must weigh more than 0"))
        return None
    return {factor: float(given[factor]) for factor in factors}


def _is_weight(weight: float) -> bool:
    return weight == 0 or SMALLEST_WEIGHT <= weight <= LARGEST_WEIGHT


def wire_of(project: Project) -> dict[str, Any]:
    """The JSON form from which `Rulebook.read` makes an equal project."""
    told: dict[str, Any] = {
        "answers": {name: wire_answer(answer) for name, answer in project.answers.items()}
    }
    if project.weights is not None:
        told["weights"] = dict(project.weights)
    if project.measurements:
        told["measurements"] = dict(project.measurements)
    return told | {key: value for key in ("name", "description") if (value := getattr(project, key))}


def wire_answer(answer: Answer) -> Any:
    said: dict[str, Any] = {"choice": answer.choice}
    if answer.state == NOT_APPLICABLE:
        said = {"choice": NOT_APPLICABLE}
    if answer.quantity is not None:
        said = {"quantity": answer.quantity.model_dump(mode="json", exclude_none=True)}
    plain = Answer()
    more = {key: value for key in _EXTRAS if (value := getattr(answer, key)) != getattr(plain, key)}
    return said["choice"] if said.get("choice") and not more else said | more


_EXTRAS = ("basis", "note", "evidence")
