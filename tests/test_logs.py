"""Log lines carry facts for operators: one JSON object a line, no control characters, no secrets."""

import io
import json
import logging

import pytest

from app.logs import LONGEST, JsonLines, redacted

SECRETS = [
    ("Authorization: Bearer tf_abcdefgh_0123456789", "0123456789"),
    ("cookie: tuning_fork_sid=SECRETSECRET", "SECRETSECRET"),
    ("GET /login?token=SECRETSECRET&x=1", "SECRETSECRET"),
    ("postgresql://owner:hunter2@db/tuning", "hunter2"),
    ("the key tf_abcdefgh_SECRETSECRET was used", "SECRETSECRET"),
    ("HF_TOKEN is hf_SECRETSECRETSECRET", "hf_SECRETSECRETSECRET"),
    ("openai sk-SECRETSECRETSECRET", "sk-SECRETSECRETSECRET"),
    ('{"password": "hunter2"}', "hunter2"),
]


@pytest.mark.parametrize(("line", "secret"), SECRETS)
def test_secrets_do_not_reach_the_log(line, secret):
    assert secret not in redacted(line)


def test_ordinary_words_stay():
    line = "run 1f0c failed: learning_rate 0.1 is too high; token accuracy 0.98"
    assert redacted(line) == line


def logged(message: str, **more: object) -> dict:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.warning(message, **more)
    [line] = stream.getvalue().splitlines()
    return json.loads(line)


def test_a_line_is_one_json_object_whatever_is_in_it():
    told = logged("a\x1b[31mred\x00\rb\nc\u2028d")
    assert told["message"] == "a\ufffd[31mred\ufffd\ufffdb\nc\u2028d"
    assert told["level"] == "warning"


def test_a_line_of_a_megabyte_is_cut():
    assert len(logged("x" * 1_000_000)["message"]) == LONGEST


def test_facts_stand_beside_the_message():
    assert logged("200", extra={"facts": {"path": "/runs", "ms": 1.5}})["path"] == "/runs"
