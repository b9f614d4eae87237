"""The starter model's tokenizer and size; at full length its habits, and how far SFT and GRPO change them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine

HERE = Path(__file__).parents[2]

MAKES_A_STARTER = """
import json, sys
from transformers import Qwen3ForCausalLM
from app.datasets.generated.corpus import corpus
from app.engine import starter

pairs = corpus()
tokenizer = starter._tokenizer(pairs)
model = Qwen3ForCausalLM(starter._architecture(tokenizer))
turns = [{"role": "user", "content": pairs[0][0]}, {"role": "assistant", "content": pairs[0][1]}]
whole = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"]
asked = tokenizer.apply_chat_template(turns[:1], tokenize=True, return_dict=True, add_generation_prompt=True)
row = next(starter._tokenized(tokenizer, pairs[:1]))
texts = json.loads(sys.argv[1])
print(json.dumps({
    "parameters": sum(p.numel() for p in model.parameters()),
    "read_back": [tokenizer.decode(tokenizer(text)["input_ids"]) for text in texts],
    "taught_as_used": row["input_ids"] == whole
        and row["completion_mask"].count(0) == len(asked["input_ids"]),
    "longest": max(len(row["input_ids"]) for row in starter._tokenized(tokenizer, pairs)),
    "ends": [tokenizer.eos_token, tokenizer.pad_token],
}))
"""


@pytest.fixture(scope="module")
def made():
    texts = ["Überprüfung der Klausel §7", "数字 42 и текст", "def f(x):\n\treturn x ** 2  # 🙂", "\x00\x7f"]
    said = subprocess.run(
        [sys.executable, "-c", MAKES_A_STARTER, json.dumps(texts)],
        cwd=HERE,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return json.loads(said.splitlines()[-1]) | {"texts": texts}


def test_the_starter_has_about_a_million_parameters(made):
    assert 800_000 < made["parameters"] < 1_200_000


def test_any_language_code_and_control_character_survives_the_tokenizer(made):
    assert made["read_back"] == made["texts"]


def test_texts_are_taught_in_the_chat_template_that_fine_tuning_uses(made):
    assert made["taught_as_used"]
    assert made["ends"] == ["<|end|>", "<|pad|>"]


def test_every_text_is_short(made):
    assert made["longest"] <= 256


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_stories_of_rulings_and_clauses_at_full_length():
    """Starter, warm start, GRPO; then SFT on clauses. What each must reach is what the product promises."""
    told = subprocess.run(
        [sys.executable, "benchmarks/rulings_story.py", "--clauses"],
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    story = json.loads(told.splitlines()[-1])
    start, warm, end = story["measured"]
    assert story["base_rates_as_expected"]
    assert 0.1 <= start["sampled"] <= 0.3
    assert warm["sampled"] > start["sampled"]
    assert end["low"] > start["high"]
    assert story["mcnemar"]["grpo"] < 0.05
    assert end["sampled"] > warm["sampled"]
    before, after = story["clauses"]
    assert before["sampled"] < 0.2
    assert after["sampled"] > 0.9
