"""Measures the model on held-out items: one sampled and one greedy answer each, graded as in training."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from app.datasets.formats import Row
from app.engine.held_out_loss import held_out_loss
from app.engine.loading import Loaded, trains_in_bf16
from app.engine.measuring import Answer, Answered, measured, reference_answer
from app.engine.reporting import Run
from app.engine.rows import conversation
from app.protocol import Evaluation, EvaluationEvent, EvaluationPlan, RunSpec, RunState

PASSES = 2
"""Sampled and greedy."""

SMALL_MODEL = 50_000_000
"""Parameters."""

ANSWERS_AT_ONCE = 32
SMALL_MODELS_ANSWERS_AT_ONCE = {"cpu": 64, "cuda": 512}
"""A GPU takes as long for one token of a small model as for hundreds; a CPU gains nothing past 64."""

When = Literal["before", "after"]
Task = Literal["main", "guard"]


def evaluate(
    run: Run,
    when: When,
    loaded: Loaded,
    rows: Sequence[Row],
    spec: RunSpec | None = None,
    task: Task = "main",
) -> Evaluation:
    on = "items of the guard task" if task == "guard" else "held-out answers"
    run.enter(RunState.EVALUATING, f"measuring {len(rows)} {on} {when} training")
    evaluation = measure(run, spec or run.spec, when, loaded, rows, task)
    run.say(EvaluationEvent(evaluation=evaluation))
    return evaluation


def measure(
    run: Run, spec: RunSpec, when: When, loaded: Loaded, rows: Sequence[Row], task: Task = "main"
) -> Evaluation:
    """`spec` says how: the run's own, or that of another task that the same model is tried on."""
    started = time.monotonic()
    torch.manual_seed(spec.seed)
    asked = [row for row in rows if row.messages]
    sampled = _answers(run, spec.evaluation, when, loaded, asked, is_sampled=True)
    greedy = _answers(run, spec.evaluation, when, loaded, asked, is_sampled=False)
    answered = Answered(
        rows=asked,
        sampled=sampled,
        greedy=greedy,
        loss=held_out_loss(run, loaded, rows),
        reference_tokens=reference_tokens(spec, loaded, asked),
        seconds=time.monotonic() - started,
    )
    return measured(run.bench, spec, when, answered, task)


def _answers(
    run: Run, plan: EvaluationPlan, when: str, loaded: Loaded, rows: Sequence[Row], *, is_sampled: bool
) -> list[Answer]:
    answers: list[Answer | None] = [None] * len(rows)
    done = 0
    for batch, found in answered_by_batch(run, plan, loaded, rows, is_sampled=is_sampled):
        for index, answer in zip(batch, found, strict=True):
            answers[index] = answer
        done += len(batch)
        run.progress(
            f"evaluating {when} training", done + (0 if is_sampled else len(rows)), PASSES * len(rows)
        )
    return [answer for answer in answers if answer is not None]


def answered_by_batch(
    run: Run, plan: EvaluationPlan, loaded: Loaded, rows: Sequence[Row], *, is_sampled: bool
) -> Iterator[tuple[list[int], list[Answer]]]:
    """Places in `rows` and the answers to them. Raises between batches if the run is to stop or to pause."""
    if not rows:
        return
    prompts = loaded.tokenizer.apply_chat_template(
        [conversation(row.prompt) for row in rows],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
    )["input_ids"]
    for batch in _batches(prompts, _answers_at_once(loaded)):
        run.stop_measuring_if_asked()
        sampling = _sampling(plan, loaded, is_sampled)
        yield batch, _generated(run, loaded, [prompts[index] for index in batch], sampling)


def reference_tokens(spec: RunSpec, loaded: Loaded, rows: Sequence[Row]) -> float | None:
    """Mean length of the reference answers, end token included as in answers."""
    texts = [text for row in rows if (text := reference_answer(spec.grader, row))]
    if not texts:
        return None
    tokens = loaded.tokenizer(texts, add_special_tokens=False)["input_ids"]
    return sum(len(each) + 1 for each in tokens) / len(tokens)


def _answers_at_once(loaded: Loaded) -> int:
    if loaded.parameters >= SMALL_MODEL:
        return ANSWERS_AT_ONCE
    return SMALL_MODELS_ANSWERS_AT_ONCE[loaded.model.device.type]


def _batches(prompts: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices, the longest prompts first: little padding, and memory fails at once if it fails."""
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


class _StopsWhenAsked(StoppingCriteria):  # type: ignore[misc]  # the library is untyped
    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        stops = self._run.stop_requested
        return torch.full((input_ids.shape[0],), stops, device=input_ids.device, dtype=torch.bool)


@torch.no_grad()
def _generated(
    run: Run, loaded: Loaded, prompts: Sequence[Sequence[int]], sampling: GenerationConfig
) -> list[Answer]:
    model, tokenizer = loaded.model, loaded.tokenizer
    longest = max(len(prompt) for prompt in prompts)
    padded = [[tokenizer.pad_token_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    model.eval()
    with torch.autocast(model.device.type, torch.bfloat16, enabled=trains_in_bf16(run)):
        out = model.generate(
            input_ids=torch.tensor(padded, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            generation_config=sampling,
            stopping_criteria=StoppingCriteriaList([_StopsWhenAsked(run)]),
        )
    run.stop_if_asked()
    return _read(out[:, longest:].tolist(), tokenizer, end_tokens(loaded))


def _sampling(plan: EvaluationPlan, loaded: Loaded, is_sampled: bool) -> GenerationConfig:
    """Every field that a model's own defaults could bend is given: all models are measured alike."""
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
