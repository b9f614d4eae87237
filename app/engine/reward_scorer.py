"""A trained reward model at work: what it gives an answer, and how that becomes a score from 0 to 1."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from app.engine.agreement import chance
from app.graders.answer import Answer

CALIBRATION = "calibration.json"
"""Beside the model: the mean reward of held-out answers, chosen and rejected, which becomes the score 0.5."""

AT_ONCE = 16
TOKENS_AT_ONCE = 16_384
"""Padding included: one answer of many thousand tokens must not stretch fifteen short ones to its length."""

Conversation = list[dict[str, str]]


def scorer(model_dir: Path, device: str) -> Callable[[Sequence[Answer]], list[float]]:
    """Scores are the chance of being preferred to the pairs' average answer (Bradley and Terry 1952):
    the logistic function of the reward above the mean reward that was measured on held-out pairs."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True, trust_remote_code=False)
    model = AutoModelForSequenceClassification.from_pretrained(
        model_dir, use_safetensors=True, local_files_only=True, trust_remote_code=False, num_labels=1
    )
    model = model.to(device).eval()
    centre = float(json.loads((model_dir / CALIBRATION).read_text(encoding="utf-8"))["centre"])

    def score(answers: Sequence[Answer]) -> list[float]:
        given = [conversation(answer.prompt, answer.text) for answer in answers]
        return [chance(reward - centre) for reward in rewards(model, tokenizer, given)]

    return score


def conversation(prompt: str, text: str) -> Conversation:
    """As graders know an answer: however many turns its prompt has, these come as one text."""
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]


@torch.no_grad()
def rewards(model: Any, tokenizer: Any, given: Sequence[Conversation]) -> list[float]:
    """One number an answer, in order; any size, only differences mean something."""
    if not given:
        return []
    tokens = tokenizer.apply_chat_template(list(given), tokenize=True, return_dict=True)["input_ids"]
    found: dict[int, float] = {}
    order = sorted(range(len(tokens)), key=lambda index: -len(tokens[index]))
    while order:
        fitting = max(1, min(AT_ONCE, TOKENS_AT_ONCE // len(tokens[order[0]])))
        batch, order = order[:fitting], order[fitting:]
        found |= dict(zip(batch, _rewards(model, [tokens[index] for index in batch]), strict=True))
    return [found[index] for index in range(len(tokens))]


def _rewards(model: Any, tokens: Sequence[Sequence[int]]) -> list[float]:
    longest, filler = max(map(len, tokens)), model.config.get_text_config().pad_token_id
    padded = [[*row, *[filler] * (longest - len(row))] for row in tokens]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in tokens]
    out = model(
        input_ids=torch.tensor(padded, device=model.device),
        attention_mask=torch.tensor(mask, device=model.device),
        use_cache=False,
    )
    return [float(value) for value in out.logits.squeeze(-1).float()]
