"""How surprised the model is by held-out demonstrations and texts: their mean cross-entropy."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from app.datasets.formats import Row
from app.engine.loading import Loaded, trains_in_bf16
from app.engine.reporting import Run
from app.engine.rows import conversation

LONGEST = 4096
"""Tokens of a row; of a longer one the beginning counts."""

LOGITS_AT_ONCE = {"cpu": 2**25, "cuda": 2**28}
"""Numbers: a row's length times the vocabulary, times the rows of a batch."""

IGNORED = -100


def held_out_loss(run: Run, loaded: Loaded, rows: Sequence[Row]) -> float | None:
    """Nats a token, over the answers of demonstrations and all of texts; None where there are none."""
    learnable = [row for row in rows if row.is_demonstration or row.is_text]
    if not learnable:
        return None
    total, tokens = 0.0, 0
    for batch in _batches([_tokens(loaded.tokenizer, row) for row in learnable], loaded):
        run.stop_measuring_if_asked()
        nats, counted = _nats(run, loaded, batch)
        total, tokens = total + nats, tokens + counted
    return total / tokens if tokens else None


def _tokens(tokenizer: Any, row: Row) -> tuple[list[int], int]:
    """Of the whole row, and where what counts begins."""
    if row.text is not None:
        return [*tokenizer(row.text)["input_ids"], tokenizer.eos_token_id][:LONGEST], 1
    asked, whole = (
        tokenizer.apply_chat_template(conversation(turns), tokenize=True, return_dict=True, **named)[
            "input_ids"
        ]
        for turns, named in ((row.prompt, {"add_generation_prompt": True}), (row.messages, {}))
    )
    same = next((n for n, (a, b) in enumerate(zip(asked, whole, strict=False)) if a != b), len(asked))
    return whole[:LONGEST], same


def _batches(rows: list[tuple[list[int], int]], loaded: Loaded) -> Iterator[list[tuple[list[int], int]]]:
    """The longest first, as many as memory allows."""
    rows.sort(key=lambda row: -len(row[0]))
    room = LOGITS_AT_ONCE[loaded.model.device.type] // loaded.model.config.get_text_config().vocab_size
    start = 0
    while start < len(rows):
        size = max(1, room // max(1, len(rows[start][0])))
        yield rows[start : start + size]
        start += size


@torch.no_grad()
def _nats(run: Run, loaded: Loaded, batch: list[tuple[list[int], int]]) -> tuple[float, int]:
    model, longest = loaded.model, len(batch[0][0])
    pad = loaded.tokenizer.pad_token_id
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row, _ in batch], device=model.device)
    mask = torch.tensor(
        [[1] * len(row) + [0] * (longest - len(row)) for row, _ in batch], device=model.device
    )
    labels = torch.tensor(
        [[IGNORED] * n + row[n:] + [IGNORED] * (longest - len(row)) for row, n in batch], device=model.device
    )[:, 1:]
    model.eval()
    with torch.autocast(model.device.type, torch.bfloat16, enabled=trains_in_bf16(run)):
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    nats = cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return float(nats), int((labels != IGNORED).sum())
