"""JSON that Python would read and that we could not carry."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput, Malformed
from app.strict_json import MAX_DEPTH, strict_loads

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_json_can_carry_is_read_as_it_was_written(value):
    assert strict_loads(json.dumps(value).encode()) == value
    assert strict_loads(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"NaN", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "Infinity"),
        (b"1e400", "too large"),
        (b"-1e400", "too large"),
        (b"9223372036854775808", "too large"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'["\\u0000"]', "NUL"),
        (b'{"a": 1, "a": 1}', '"a" appears twice'),
        (b'{"\\ud800": 1, "\\ud800": 1}', "appears twice"),
        (b'{"a": {"b": 1, "b": 2}}', "appears twice"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{} x", "column 4"),
        (b'"\x01"', "not JSON"),
    ],
)
def test_what_it_cannot_is_named(body, word):
    with pytest.raises(InvalidInput) as refusal:
        strict_loads(body)
    assert word in refusal.value.problems[0].what
    json.dumps(refusal.value.sentence).encode()
    refusal.value.sentence.encode("utf-8")


@pytest.mark.parametrize(
    "body",
    [b"\xff", b"\xef\xbb\xbf{}", '"a"'.encode("utf-16"), b"1" * 5000, b"[" * 100_000, b'{"a":' * 20_000],
)
def test_what_cannot_be_read_at_all_is_malformed(body):
    with pytest.raises(Malformed):
        strict_loads(body)


def test_nesting_is_allowed_up_to_the_limit_and_no_deeper():
    strict_loads(b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH)
    with pytest.raises(Malformed, match="32 levels"):
        strict_loads(b"[" * (MAX_DEPTH + 1) + b"1" + b"]" * (MAX_DEPTH + 1))


def test_many_flat_brackets_are_not_mistaken_for_depth():
    assert len(strict_loads(b"[" + b",".join([b"{}"] * 1000) + b"]")) == 1000


@pytest.mark.parametrize("body", [b"-0.0", b"1e-320", b"9223372036854775807", b'"\\ud83d\\ude00"'])
def test_odd_but_sound_values_pass(body):
    strict_loads(body)
