"""Measures the model on held-out items: one sampled and one greedy answer each, graded as in training."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from app.datasets.formats import Row
from app.engine.loading import Loaded
from app.engine.reporting import CannotTrain, Run, readable
from app.engine.rows import conversation, in_words
from app.graders.comparison import wilson
from app.graders.grading import grade
from app.graders.template import NothingToFill, fill
from app.protocol import (
    Abstain,
    DraftCounts,
    Evaluation,
    EvaluationEvent,
    Grader,
    GraderError,
    JsonSchema,
    Regex,
    RunState,
    SampledAnswer,
    Score,
    Share,
)

PASSES = 2
"""Sampled and greedy."""

SMALL_MODEL = 50_000_000
ANSWERS_AT_ONCE = {"small": 256, "large": 32}
"""A small model's step is mostly overhead, which a large batch shares out; a large one's is memory."""

FULL_SCORE = 1.0

LONGEST_SHOWN = 4000
"""Characters of any one text in an event."""


@dataclass(frozen=True)
class Answer:
    text: str
    tokens: int
    is_clipped: bool


def evaluate(run: Run, when: Literal["before", "after"], loaded: Loaded, rows: Sequence[Row]) -> Evaluation:
    run.enter(RunState.EVALUATING, f"measuring {len(rows)} held-out answers {when} training")
    started = time.monotonic()
    torch.manual_seed(run.spec.seed)
    sampled = _answers(run, when, loaded, rows, is_sampled=True)
    greedy = _answers(run, when, loaded, rows, is_sampled=False)
    evaluation = _measured(run, when, rows, sampled, greedy, time.monotonic() - started)
    run.say(EvaluationEvent(evaluation=evaluation))
    return evaluation


def refuse_useless_grader(run: Run, evaluation: Evaluation) -> None:
    """A grader that could not score one held-out answer would not score one in training."""
    if evaluation.sampled.n == 0:
        outcome = next((answer.outcome for answer in evaluation.samples), None)
        why = f": {outcome.why}" if isinstance(outcome, Abstain | GraderError) else ""
        did = "failed" if evaluation.errors else "abstained"
        raise CannotTrain(f"The grader {did} on every held-out answer{why}. No answer counted as wrong.")


def _answers(run: Run, when: str, loaded: Loaded, rows: Sequence[Row], *, is_sampled: bool) -> list[Answer]:
    prompts = loaded.tokenizer.apply_chat_template(
        [conversation(row.prompt) for row in rows],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
    )["input_ids"]
    answers: dict[int, Answer] = {}
    for batch in _batches(prompts, loaded.parameters):
        run.stop_if_asked()
        found = _generated(run, loaded, [prompts[index] for index in batch], is_sampled)
        answers |= dict(zip(batch, found, strict=True))
        done = len(answers) + (0 if is_sampled else len(rows))
        run.progress(f"evaluating {when} training", done, PASSES * len(rows))
    return [answers[index] for index in range(len(rows))]


def _batches(prompts: Sequence[Sequence[int]], parameters: int) -> Iterator[list[int]]:
    """Indices, the longest prompts first: little padding, and memory fails at once if it fails."""
    size = ANSWERS_AT_ONCE["small" if parameters < SMALL_MODEL else "large"]
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


class _StopsWhenAsked(StoppingCriteria):  # type: ignore[misc]  # the library is untyped
    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        stops = self._run.stop_requested
        return torch.full((input_ids.shape[0],), stops, device=input_ids.device, dtype=torch.bool)


@torch.inference_mode()
def _generated(run: Run, loaded: Loaded, prompts: Sequence[Sequence[int]], is_sampled: bool) -> list[Answer]:
    model, tokenizer = loaded.model, loaded.tokenizer
    longest = max(len(prompt) for prompt in prompts)
    padded = [[tokenizer.pad_token_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    model.eval()
    out = model.generate(
        input_ids=torch.tensor(padded, device=model.device),
        attention_mask=torch.tensor(mask, device=model.device),
        generation_config=_sampling(run, loaded, is_sampled),
        stopping_criteria=StoppingCriteriaList([_StopsWhenAsked(run)]),
    )
    run.stop_if_asked()
    return _read(out[:, longest:].tolist(), tokenizer, end_tokens(loaded))


def _sampling(run: Run, loaded: Loaded, is_sampled: bool) -> GenerationConfig:
    """Every field that a model's own defaults could bend is given: all models are measured alike."""
    plan = run.spec.evaluation
    sampled = {"do_sample": True, "temperature": plan.temperature, "top_p": 1.0, "top_k": 0, "min_p": None}
    return GenerationConfig(
        **(sampled if is_sampled else {"do_sample": False}),
        max_new_tokens=plan.max_completion_length,
        repetition_penalty=1.0,
        eos_token_id=end_tokens(loaded),
        pad_token_id=loaded.tokenizer.pad_token_id,
        disable_compile=True,
    )


def end_tokens(loaded: Loaded) -> list[int]:
    """What the model itself calls an end counts beside the tokenizer's end token."""
    own = loaded.model.generation_config.eos_token_id
    known = own if isinstance(own, list) else [own]
    return sorted({loaded.tokenizer.eos_token_id, *(token for token in known if token is not None)})


def _read(rows: list[list[int]], tokenizer: Any, ends: Sequence[int]) -> list[Answer]:
    lengths = [next((place for place, token in enumerate(row) if token in ends), None) for row in rows]
    kept = [row if length is None else row[:length] for row, length in zip(rows, lengths, strict=True)]
    texts = tokenizer.batch_decode(kept, skip_special_tokens=True)
    return [
        Answer(text=text, tokens=len(row) if length is None else length + 1, is_clipped=length is None)
        for text, row, length in zip(texts, rows, lengths, strict=True)
    ]


def _measured(
    run: Run,
    when: Literal["before", "after"],
    rows: Sequence[Row],
    sampled: list[Answer],
    greedy: list[Answer],
    seconds: float,
) -> Evaluation:
    grader, plan = run.spec.grader, run.spec.evaluation
    assert grader is not None
    outcomes = [grade(grader, a.text, row.item) for a, row in zip(sampled, rows, strict=True)]
    greedy_marks = "".join(
        mark(grade(grader, answer.text, row.item)) for answer, row in zip(greedy, rows, strict=True)
    )
    marks = "".join(mark(outcome) for outcome in outcomes)
    return Evaluation(
        when=when,
        sampled=share(marks),
        greedy=share(greedy_marks),
        sampled_outcomes=marks,
        greedy_outcomes=greedy_marks,
        abstained=sum(isinstance(outcome, Abstain) for outcome in outcomes),
        errors=sum(isinstance(outcome, GraderError) for outcome in outcomes),
        mean_tokens=sum(answer.tokens for answer in sampled) / len(sampled),
        clipped=sum(answer.is_clipped for answer in sampled) / len(sampled),
        drafts=drafts(run.spec.draft_grader, rows, [answer.text for answer in sampled], marks),
        samples=[
            _sample(index, rows[index], sampled[index], outcomes[index], grader)
            for index in range(min(plan.samples_shown, len(rows)))
        ],
        seconds=seconds,
    )


def mark(outcome: Score | Abstain | GraderError) -> str:
    if not isinstance(outcome, Score):
        return "-"
    return "1" if outcome.value >= FULL_SCORE else "0"


def share(marks: str) -> Share:
    right, n = marks.count("1"), len(marks) - marks.count("-")
    return Share(right=right, n=n, interval=wilson(right, n))


def drafts(
    grader: Grader | None, rows: Sequence[Row], texts: Sequence[str], marks: str
) -> DraftCounts | None:
    """What became of each draft, given the final answers' marks."""
    if grader is None:
        return None
    fates = [
        _draft_mark(grader, text, row) + final for text, row, final in zip(texts, rows, marks, strict=True)
    ]
    decided = [fate for fate in fates if "-" not in fate]
    return DraftCounts(
        wrong=sum(fate[0] == "0" for fate in decided),
        mended=decided.count("01"),
        right=sum(fate[0] == "1" for fate in decided),
        spoiled=decided.count("10"),
        undecided=len(fates) - len(decided),
    )


def _draft_mark(grader: Grader, text: str, row: Row) -> str:
    """An answer in which the pattern finds no draft has none, which is not a wrong one."""
    if isinstance(grader, Regex):
        finds = grader.model_copy(update={"reference": None})
        if mark(grade(finds, text, row.item)) != "1":
            return "-"
    return mark(grade(grader, text, row.item))


def _sample(
    index: int, row: Row, answer: Answer, outcome: Score | Abstain | GraderError, grader: Grader
) -> SampledAnswer:
    reference = _reference(grader, row)
    return SampledAnswer(
        item=index,
        prompt=readable(in_words(row.prompt), LONGEST_SHOWN),
        output_text=readable(answer.text, LONGEST_SHOWN),
        reference=None if reference is None else readable(reference, LONGEST_SHOWN),
        outcome=outcome,
    )


def _reference(grader: Grader, row: Row) -> str | None:
    if isinstance(grader, JsonSchema) or grader.reference is None:
        return row.answer
    try:
        return fill(grader.reference, "", row.item)
    except NothingToFill:
        return row.answer
