"""Failures as users read them: one sentence with the fix."""

import errno

import pytest

from app.engine.failures import in_a_sentence


class OutOfMemoryError(RuntimeError):
    pass


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "lower micro_batch_size"),
        (MemoryError(), "lower micro_batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "lower micro_batch_size"),
        (OSError(errno.ENOSPC, "No space left on device"), "delete runs or datasets"),
        (RuntimeError("probability tensor contains either `inf`, `nan`"), "Lower the learning rate"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero."),
        (KeyError(), "KeyError: no further word."),
    ],
)
def test_a_failure_is_one_sentence_with_what_to_do(error, fix):
    sentence = in_a_sentence(error)
    assert fix in sentence
    assert "\n" not in sentence


def test_secrets_in_a_message_are_not_repeated():
    error = ValueError("cannot open https://user:hunter2@host/x with token=hf_abcdefghijkl")
    assert "hunter2" not in in_a_sentence(error)
    assert "hf_abc" not in in_a_sentence(error)
