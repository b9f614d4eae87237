"""Rows from the hub as a file: fillers are left out, limits are kept, failures are told."""

import json
from datetime import date

import pytest
from datasets import load_dataset

from app.engine.fetch import CannotFetch, why, write_rows


def fixture(folder) -> str:
    """A dataset as a repository of the hub holds it."""
    rows = [
        {"messages": [{"role": "user", "content": f"q{n}"}], "note": None if n else "x"} for n in range(9)
    ]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(folder)


def test_rows_that_the_library_streams_become_json_lines(tmp_path):
    (tmp_path / "repository").mkdir()
    where = fixture(tmp_path / "repository")
    cache = str(tmp_path / "cache")
    rows = load_dataset(where, split="train", streaming=True, cache_dir=cache)
    write_rows(rows, tmp_path / "rows.jsonl", 100, 10_000)
    written = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert written[0] == {"messages": [{"role": "user", "content": "q0"}], "note": "x"}
    assert written[1] == {"messages": [{"role": "user", "content": "q1"}]}
    assert len(written) == 9


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"text": "x"}] * 6, "more than 5 rows"),
        ([{"text": "x" * 2000}], "larger than 1,000 bytes"),
        ([{"image": object()}], "values of the type object"),
    ],
)
def test_what_is_too_much_or_no_text_is_refused(tmp_path, rows, words):
    with pytest.raises(CannotFetch, match=words):
        write_rows(rows, tmp_path / "rows.jsonl", 5, 1000)


def test_a_date_is_written_as_one_reads_it(tmp_path):
    write_rows([{"day": date(2024, 2, 29)}], tmp_path / "rows.jsonl", 5, 1000)
    assert json.loads((tmp_path / "rows.jsonl").read_text()) == {"day": "2024-02-29"}


def test_failures_are_told_with_what_to_do():
    assert "cannot be reached" in why(ConnectionError("no route"))
    assert why(ValueError("Unknown split “trian”.")).endswith("name the configuration or split that you want")
    assert "hub's library says: odd" in why(RuntimeError("odd"))
