"""One short SFT or GRPO training by TRL, timed part by part: the child of `cost_ratio.py`.

    .venv/bin/python benchmarks/timed_trl.py '{"method": "grpo", "model": ..., "rows": ..., ...}'

Prints one line of JSON. The first update is left out of every figure: it warms caches up.
"""

import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

RULING = re.compile(r"Ruling: (\w+)")
HELD_OUT_AT_ONCE = 64

PARTS = {
    "_generate": "rollouts",
    "_calculate_rewards": "grading",
    "_get_per_token_logps_and_entropies": "log-probabilities",
}
"""Methods of the trainer whose time is told apart; what is left of a step is backward and optimizer."""


class Clock(TrainerCallback):  # type: ignore[misc]  # the library is untyped
    """Seconds of each update, and of the parts inside it."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.parts: list[dict[str, float]] = []
        self._now: defaultdict[str, float] = defaultdict(float)
        self._began = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.perf_counter() - sum(self._now.values())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.steps.append(time.perf_counter() - self._began)
        self.parts.append(dict(self._now))
        self._now.clear()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._now[name] += time.perf_counter() - began


def timed(clock: Clock) -> type[Any]:
    """TRL's trainer with a stopwatch around the parts of its step."""

    def around(method: str, name: str) -> Callable[..., Any]:
        def measured(self: Any, *given: Any, **named: Any) -> Any:
            with clock.part(name):
                return getattr(GRPOTrainer, method)(self, *given, **named)

        return measured

    return type("Timed", (GRPOTrainer,), {method: around(method, name) for method, name in PARTS.items()})


def right(completion: str, answer: str) -> float:
    found = RULING.findall(completion)
    return float(bool(found) and found[-1] == answer)


def reward(completions: list[Any], answer: list[str], **_: object) -> list[float]:
    return [right(each[-1]["content"], said) for each, said in zip(completions, answer, strict=True)]


def main(asked: dict[str, Any]) -> dict[str, Any]:
    tokenizer = AutoTokenizer.from_pretrained(asked["model"], padding_side="left")
    dtype = torch.bfloat16 if asked["device"] == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(asked["model"], dtype=dtype)
    with open(asked["rows"]) as file:
        rows = [json.loads(line) for line in file]
    train, held_out = rows[: -asked["held_out"]], rows[-asked["held_out"] :]
    clock = Clock()
    trainer = _trainer(asked, model, tokenizer, train[: asked.get("demonstrations")], clock)
    trainer.train()
    if asked.get("keep"):
        trainer.save_model(asked["keep"])
    steps = clock.steps[1:]
    tokens = [entry["num_tokens"] for entry in trainer.state.log_history if "num_tokens" in entry]
    return {
        "steps": len(steps),
        "seconds": sum(steps),
        "rows": asked["rows_a_step"] * _packed(trainer.train_dataset) * len(steps),
        "tokens": tokens[-1] - tokens[0],
        "parts": _parts(clock),
        "held_out": _score(trainer.model, tokenizer, held_out, asked) if asked["scored"] else None,
    }


def _trainer(asked: dict[str, Any], model: Any, tokenizer: Any, train: list[Any], clock: Clock) -> Any:
    shared = {
        "output_dir": asked["out"],
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        **asked["settings"],
        "max_steps": asked["steps"] + 1,
        "seed": asked["seed"],
    }
    if asked["method"] == "sft":
        learned = [{"prompt": row["messages"], "completion": row["answered"]} for row in train]
        return SFTTrainer(
            model,
            args=SFTConfig(**shared),
            train_dataset=Dataset.from_list(learned),
            processing_class=tokenizer,
            callbacks=[clock],
        )
    prompts = [{"prompt": row["messages"], "answer": row["answer"]} for row in train]
    return timed(clock)(
        model,
        reward_funcs=reward,
        args=GRPOConfig(**shared),
        train_dataset=Dataset.from_list(prompts),
        processing_class=tokenizer,
        callbacks=[clock],
    )


def _packed(rows: Any) -> float:
    """Demonstrations in a row of the dataset, on average."""
    if "seq_lengths" not in rows.column_names:
        return 1.0
    return sum(len(lengths) for lengths in rows["seq_lengths"]) / len(rows)


def _parts(clock: Clock) -> dict[str, float]:
    """Seconds a step; rollouts that serve several steps are spread over them."""
    kept, steps = clock.parts[1:], clock.steps[1:]
    told = {name: sum(each.get(name, 0.0) for each in kept) / len(steps) for name in PARTS.values()}
    return told | {"backward, optimizer, rest": sum(steps) / len(steps) - sum(told.values())}


@torch.no_grad()
def _score(model: Any, tokenizer: Any, rows: list[Any], asked: dict[str, Any]) -> float:
    """Share of greedy answers with the right ruling."""
    model.eval()
    marks: list[float] = []
    for start in range(0, len(rows), HELD_OUT_AT_ONCE):
        some = rows[start : start + HELD_OUT_AT_ONCE]
        given = tokenizer.apply_chat_template(
            [row["messages"] for row in some],
            add_generation_prompt=True,
            padding=True,
            return_dict=True,
            return_tensors="pt",
        ).to(model.device)
        out = model.generate(**given, do_sample=False, max_new_tokens=asked["longest"], disable_compile=True)
        texts = tokenizer.batch_decode(out[:, given["input_ids"].shape[1] :], skip_special_tokens=True)
        marks += [right(text, row["answer"]) for text, row in zip(texts, some, strict=True)]
    return sum(marks) / len(marks)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))) + "\n")
