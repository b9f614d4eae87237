"""The checks with tokens and memory: lengths against limits, the estimate, and one real step."""

import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, TrainerCallback

from app.advisor.memory import GIB
from app.datasets.rows import Row
from app.engine import rows
from app.engine.estimated_memory import estimated
from app.engine.failures import in_a_sentence
from app.engine.loading import load, tokenizer_of
from app.engine.preflight_checks import FAIL, NOT_APPLICABLE, PASS, WARN, Found, size
from app.engine.reporting import CannotTrain, Run
from app.engine.trainers import trainer_of
from app.protocol import (
    Check,
    CheckName,
    Forecast,
    GrpoRecipe,
    PreflightInputs,
    RewardModelRecipe,
    SftRecipe,
)

MOST_MEASURED = 20_000
"""Rows whose tokens are counted: of a larger dataset those with the most characters."""

P95 = 0.95

FITS, TIGHT = 0.80, 0.95
"""Shares of the free memory up to which an estimate is called fitting, and tight: the advisor's."""

CONTEXT_BYTES = 0.6 * GIB
"""CUDA context beside what torch reserves: the estimator's card without its reserve."""


class Sizes:
    def __init__(self, run: Run, inputs: PreflightInputs, found: Found) -> None:
        if found.model is None or found.split is None:
            raise CannotTrain("Model or dataset could not be read, so nothing can be measured.")
        self._run, self._inputs = run, inputs
        self._model, self._split = found.model, found.split
        self._updates = found.updates
        self._parameters = found.parameters
        self._config: dict[str, Any] = json.loads((found.model.folder / "config.json").read_bytes())

    # Lengths

    @cached_property
    def _lengths(self) -> list[tuple[int, Row]]:
        """Tokens that a row fills, the longest first; for GRPO its prompt."""
        tokenizer = tokenizer_of(self._run, self._model.folder)
        chosen = sorted(self._split.train, key=_characters, reverse=True)[:MOST_MEASURED]
        counted = [_tokens(row, self._run, tokenizer) for row in chosen]
        return sorted(zip(counted, chosen, strict=True), key=lambda pair: -pair[0])

    @property
    def _context(self) -> int:
        text = self._config.get("text_config", self._config)
        return int(text.get("max_position_embeddings") or text.get("n_positions") or 0)

    def lengths(self) -> Check:
        counts = [count for count, _ in self._lengths]
        recipe = self._run.spec.recipe
        figures: dict[str, float] = {
            "longest": counts[0],
            "p95": _percentile(counts),
            "context": self._context,
        }
        if isinstance(recipe, GrpoRecipe):
            return self._rollout_lengths(recipe, figures)
        assert isinstance(recipe, SftRecipe | RewardModelRecipe)
        too_long = sum(count > recipe.max_length for count in counts)
        beyond = bool(self._context) and recipe.max_length > self._context < counts[0]
        sentence = (
            f"The longest row has {counts[0]:,} tokens; nineteen in twenty have {figures['p95']:,} at most."
        )
        if too_long:
            return _check(
                CheckName.LENGTHS,
                FAIL,
                f"{too_long:,} of {len(counts):,} rows are longer than max_length ({recipe.max_length:,} "
                f"tokens); the longest has {counts[0]:,}.",
                "Raise max_length or shorten these rows: none is cut, which would teach to stop anywhere.",
                figures,
            )
        if beyond:
            return _check(
                CheckName.LENGTHS,
                FAIL,
                f"{sentence} The model sees {self._context:,} at once.",
                "Shorten the rows.",
                figures,
            )
        return _check(CheckName.LENGTHS, PASS, sentence, "", figures)

    def _rollout_lengths(self, recipe: GrpoRecipe, figures: dict[str, float]) -> Check:
        longest, room = int(figures["longest"]), recipe.max_completion_length
        if self._context and longest + room > self._context:
            return _check(
                CheckName.LENGTHS,
                FAIL,
                f"The longest prompt ({longest:,} tokens) and an answer of max_completion_length ({room:,}) "
                f"do not fit the {self._context:,} tokens that the model sees at once.",
                "Lower max_completion_length or shorten the prompts.",
                figures,
            )
        answers = self._answer_lengths()
        if answers and (usual := _percentile(answers)) > room:
            return _check(
                CheckName.LENGTHS,
                FAIL,
                f"One in twenty of the known answers is longer than max_completion_length ({room:,} tokens): "
                f"{usual:,} and more. Such answers would be cut and could not be right.",
                f"Raise max_completion_length to {usual:,} or more.",
                figures | {"answers_p95": usual},
            )
        return _check(
            CheckName.LENGTHS,
            PASS,
            f"The longest prompt has {longest:,} tokens, and an answer may have {room:,}.",
            "",
            figures,
        )

    def _answer_lengths(self) -> list[int]:
        tokenizer = tokenizer_of(self._run, self._model.folder)
        texts = [row.answer for row in self._split.train[:MOST_MEASURED] if row.answer]
        return sorted((len(ids) for ids in tokenizer(texts)["input_ids"]), reverse=True) if texts else []

    # Memory

    def memory(self) -> Check:
        available = self._available
        peak, most = estimated(
            self._run, self._config, self._parameters, self._lengths[0][0], self._inputs.memory_bytes
        )
        share = peak / available
        result = PASS if share <= FITS else WARN if share <= TIGHT else FAIL
        fixes = "Lower micro_batch_size or the length limits, choose LoRA, or start from a smaller model."
        return _check(
            CheckName.MEMORY,
            result,
            f"Estimated: about {size(peak)} of the {size(available)} that are free on "
            f"{self._inputs.device_name or 'the device'}, most of it for {most}.",
            "" if result is PASS else fixes,
            {"peak_bytes": peak, "available_bytes": available},
        )

    @cached_property
    def _available(self) -> float:
        """Before anything of the run itself is loaded."""
        if self._run.inputs.device == "cuda":
            free, _ = torch.cuda.mem_get_info()
            return float(free)
        free = psutil.virtual_memory().available + psutil.Process().memory_info().rss
        return float(min(free, self._inputs.memory_bytes or free))

    # One step

    def smoke_step(self) -> tuple[Check, Forecast | None]:
        """Trains one update on the longest rows, GRPO's answers in full length: no later step is larger."""
        if not self._fitting:
            why = "Every row is longer than max_length, so there is none to train on."
            return _check(CheckName.SMOKE_STEP, NOT_APPLICABLE, why, ""), None
        with _memory_limit(self._run.inputs.device, self._available):
            try:
                seconds, answered = self._train_one_step()
            except CannotTrain as error:
                return _check(CheckName.SMOKE_STEP, FAIL, str(error), ""), None
            except Exception as error:
                return _check(CheckName.SMOKE_STEP, FAIL, in_a_sentence(error), ""), None
        forecast = self._forecast(seconds)
        tight = forecast.peak_bytes > 0.95 * forecast.available_bytes
        longest = f"prompts, with answers of {answered:,} tokens," if answered else "rows"
        sentence = (
            f"One step on the longest {longest} took {seconds:.2g} s and {size(forecast.peak_bytes)} of "
            f"memory. {forecast.steps:,} such steps come to {_duration(forecast.training_seconds)}; "
            "measuring comes on top of that."
        )
        fix = (
            "Memory is nearly full: lower micro_batch_size, or wait until no other run is training."
            if tight
            else ""
        )
        figures = forecast_figures(forecast) | ({"answer_tokens": answered} if answered else {})
        return _check(CheckName.SMOKE_STEP, WARN if tight else PASS, sentence, fix, figures), forecast

    @property
    def _fitting(self) -> list[Row]:
        """The longest first, without those that the run would refuse."""
        most = getattr(self._run.spec.recipe, "max_length", sys.maxsize)
        return [row for count, row in self._lengths if count <= most]

    def _train_one_step(self) -> tuple[float, int]:
        """Its seconds, and how many tokens the shortest of GRPO's answers had; 0 for other methods."""
        recipe = self._run.spec.recipe
        assert isinstance(recipe, SftRecipe | GrpoRecipe | RewardModelRecipe)
        kind, more = (AutoModelForCausalLM, {})
        if isinstance(recipe, RewardModelRecipe):
            kind, more = (AutoModelForSequenceClassification, {"num_labels": 1})
        loaded = load(self._run, self._model, kind, **more)
        if more:
            loaded.model.config.get_text_config().pad_token_id = loaded.tokenizer.pad_token_id
        timer = _Timer()
        longest = self._fitting[: recipe.batch_size]
        again = -(-recipe.batch_size // len(longest))
        trainer = trainer_of(self._run, loaded, longest * again, steps=1, in_full=True, callbacks=[timer])
        trainer.train()
        if trainer.state.global_step != 1:
            raise CannotTrain("The trainer made no step of the longest rows.")
        lengths = (each.get("completions/min_length") for each in trainer.state.log_history)
        return timer.seconds, int(next((length for length in lengths if length), 0))

    def _forecast(self, seconds: float) -> Forecast:
        limits = self._run.spec.limits
        steps = min(self._updates, limits.steps or self._updates)
        hours = steps * seconds / 3600
        return Forecast(
            steps=steps,
            step_seconds=seconds,
            training_seconds=steps * seconds,
            peak_bytes=_peak(self._run.inputs.device),
            available_bytes=int(self._available),
            gpu_hours=hours,
            money=hours * limits.price_per_gpu_hour if limits.price_per_gpu_hour else None,
        )


class _Timer(TrainerCallback):  # type: ignore[misc]  # the library is untyped
    """Seconds of the step alone, without what building the trainer took."""

    seconds = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds = time.perf_counter() - self._began


@contextmanager
def _memory_limit(device: str, most: float) -> Iterator[None]:
    """On a CPU, so that a step that is too large fails here and does not take other processes with it."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if device == "cpu":
        resource.setrlimit(resource.RLIMIT_DATA, (int(most), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _peak(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.max_memory_reserved() + CONTEXT_BYTES)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _tokens(row: Row, run: Run, tokenizer: Any) -> int:
    if row.is_text:
        return len(tokenizer(row.text)["input_ids"]) + 1
    if isinstance(run.spec.recipe, GrpoRecipe):
        return _of_turns(rows.conversation(row.prompt), tokenizer, opens=True)
    endings = [row.chosen, row.rejected] if row.is_pair else [None]
    return max(
        _of_turns(rows.conversation([*row.messages, *(ending or ())]), tokenizer, opens=False)
        for ending in endings
    )


def _of_turns(turns: list[dict[str, str]], tokenizer: Any, *, opens: bool) -> int:
    told = tokenizer.apply_chat_template(turns, add_generation_prompt=opens, tokenize=True, return_dict=True)
    return len(told["input_ids"])


def _characters(row: Row) -> int:
    said = [*row.messages, *(row.chosen or ()), *(row.rejected or ())]
    return len(row.text or "") + sum(len(turn.content) for turn in said)


def _percentile(descending: Sequence[int]) -> int:
    """Of counts that fall: what 95 % of them do not exceed."""
    return descending[int((1 - P95) * len(descending))]


def _check(
    name: CheckName, result: Any, sentence: str, fix: str, figures: dict[str, float] | None = None
) -> Check:
    return Check(name=name, result=result, sentence=sentence, fix=fix, figures=figures or {})


def forecast_figures(forecast: Forecast) -> dict[str, float]:
    return {name: value for name, value in forecast.model_dump().items() if value is not None}


def _duration(seconds: float) -> str:
    for unit, word in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.2g} {word}"
    return f"{max(1, round(seconds))} s"
