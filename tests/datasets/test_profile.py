"""A profile finds what was planted, repairs what can be repaired, and is silent on what is sound."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets import kept, load
from app.datasets.identity import dataset_identity
from app.datasets.repairing import repair
from app.datasets.rows import Row, Turn
from app.datasets.splitting import digests_of, held_out_rows, stored_split
from app.errors import Conflict
from app.graders.grading import grade
from app.protocol import ColumnMapping, Reading, RepairReport, Score
from tests.datasets.reading_here import REF, profiled, rows_of, task

WORDS = (
    "court", "tenant", "notice", "deposit", "letter", "claim", "appeal", "ruling", "clause", "party",
)  # fmt: skip


def question(n: int) -> str:
    chance = random.Random(n)
    return f"Case {n}: " + " ".join(chance.choice(WORDS) for _ in range(14)) + "?"


def demonstration(asked: str, answer: str) -> dict:
    return {"prompt": asked, "completion": answer}


def lines(rows: list[dict]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


SOUND = [demonstration(question(n), f"It was decided on day {n} of the term.") for n in range(200)]


def found(summary) -> dict:
    return {finding.kind: finding for finding in summary.profile.findings}


def test_sound_data_has_nothing_to_look_at(tmp_path):
    assert found(profiled(tmp_path, lines(SOUND))) == {}


def planted() -> list[dict]:
    """Of SOUND, and line by line from 201: what is wrong and where."""
    held_out = held_out_rows(stored_split(digests_of(map(as_row, SOUND))), 40)
    train = [n for n in range(200) if n not in held_out]
    kept_aside = sorted(held_out)
    return [
        *SOUND,
        SOUND[train[0]],  # 201: a duplicate
        demonstration(question(train[1]), "Something else."),  # 202: a contradiction
        demonstration(question(kept_aside[0]).upper(), "It was decided."),  # 203: a leak
        demonstration(question(train[2]).rstrip("?") + " then?", "So it was."),  # 204: nearly the same
        demonstration(question(900), " blank space around it\n"),  # 205
        demonstration(question(901), "NaN"),  # 206
    ]


def as_row(given: dict) -> Row:
    return Row(
        messages=[
            Turn(role="user", content=given["prompt"]),
            Turn(role="assistant", content=given["completion"]),
        ]
    )


def test_everything_that_was_planted_is_found_where_it_is(tmp_path):
    kinds = found(profiled(tmp_path, lines(planted())))
    assert kinds["duplicates"].lines == [201]
    assert 202 in kinds["contradictions"].lines
    assert kinds["contradictions"].rows == 2
    assert kinds["near_duplicates"].lines == [204]
    assert kinds["padding"].lines == [205]
    assert kinds["placeholders"].lines == [206]
    leak = set(kinds["leaks"].lines)
    assert len(leak) == 1
    assert leak < {203, *range(1, 201)}


def test_a_repaired_copy_mends_what_it_says_and_tells_every_change(tmp_path):
    content = lines(planted()) + b'\n{"prompt": " "}\nnonsense\n'
    file = tmp_path / "file"
    file.write_bytes(content)
    repair(file, task(tmp_path))
    assert file.read_bytes() == content
    report = RepairReport.model_validate_json((tmp_path / kept.REPORT).read_bytes())
    changes = {change.line: change.what for change in report.changes}
    assert changes[201] == "left out: it repeats an earlier row"
    assert changes[205].startswith("trimmed")
    assert changes[207] == "left out: `prompt` is empty"
    assert "not JSON" in changes[208]
    assert report.left_out + report.kept == 208
    copy = profiled(tmp_path, (tmp_path / kept.REPAIRED).read_bytes())
    assert copy.rows == report.kept
    assert not any(finding.mended for finding in copy.profile.findings)


def test_numbers_make_two_alike_questions_different(tmp_path):
    rows = [
        demonstration(f"What does a tenant owe who pays {n} of the rent late in the year?", str(n))
        for n in range(50)
    ]
    assert "near_duplicates" not in found(profiled(tmp_path, lines(rows)))


def test_the_same_answer_over_and_over_is_told(tmp_path):
    rows = [demonstration(question(n), "Granted.") for n in range(40)]
    finding = found(profiled(tmp_path, lines(rows)))["same_answers"]
    assert finding.rows == 40
    assert "“Granted.”" in finding.sentence


def test_pairs_that_contradict_or_prefer_nothing_are_told(tmp_path):
    pairs = [{"prompt": question(n), "chosen": "Yes.", "rejected": "No."} for n in range(20)]
    pairs.append({"prompt": question(3), "chosen": "No.", "rejected": "Yes."})
    pairs.append({"prompt": question(50), "chosen": "Yes.", "rejected": "Yes."})
    summary = profiled(tmp_path, lines(pairs))
    kinds = found(summary)
    assert kinds["contradictions"].lines == [4, 21]
    assert kinds["equal_pairs"].lines == [22]
    assert (summary.kind, summary.preferences) == ("preferences", 22)


LABELS, NUMBERS = ["granted", "denied", "settled"], [str(n) for n in range(60)]
JSON = [json.dumps({"ruling": "granted", "days": n}) for n in range(60)]
SQL = [f"SELECT name FROM tenants WHERE days > {n}" for n in range(60)]


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (LABELS * 20, "label"),
        (NUMBERS, "number"),
        (JSON, "json"),
        (SQL, "sql"),
        ([f"party number {word}" for word in map(chr, range(97, 123))], "short_text"),
        ([f"def f(x):\n    return x + {n}" for n in range(60)], "code"),
        ([f"A long story about the case. {question(n)} It ends here." for n in range(60)], None),
    ],
)
def test_which_answers_a_program_could_check_is_told(tmp_path, answers, kind):
    rows = [{"prompt": question(n), "answer": answer} for n, answer in enumerate(answers)]
    checkable = profiled(tmp_path, lines(rows)).profile.checkable
    assert [each.kind for each in checkable] == ([kind] if kind else [])
    if kind in ("label", "short_text", "json"):
        grader = checkable[0].grader
        assert grade(grader, answers[0], {"answer": answers[0]}) == Score(value=1.0)
        assert grade(grader, "nonsense", {"answer": answers[0]}).value == 0


def test_tokens_are_counted_by_the_tokenizer_that_is_given(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.save(str(tmp_path / "tokenizer.json"))
    more = {"tokenizer": tmp_path / "tokenizer.json", "tokenizer_name": "words", "context": 20}
    long = demonstration("word " * 60, "so")
    profile = profiled(tmp_path, lines([*SOUND, long]), **more).profile
    assert profile.exact_tokens
    assert (profile.prompt.p50, profile.prompt.longest) == (16, 60)
    assert sum(each.count for each in profile.prompt.bins) == 201
    assert found(profiled(tmp_path, lines([*SOUND, long]), **more))["too_long"].lines[-1] == 201


PROMPTS = st.lists(st.sampled_from("abcdefghijklmnop"), min_size=5, max_size=60)


@settings(deadline=None)
@given(PROMPTS, st.integers(1, 30))
def test_a_stored_split_never_changes_and_keeps_prompts_together(prompts, items):
    rows = [Row(messages=[Turn(role="user", content=text)]) for text in prompts]
    order = stored_split(digests_of(rows))
    assert stored_split(digests_of(rows)) == order
    held_out = held_out_rows(order, items)
    assert len(held_out) <= min(items, len(rows) // 5)
    assert not {prompts[n] for n in held_out} & {prompts[n] for n in range(len(rows)) if n not in held_out}


def test_rows_that_were_changed_after_they_were_checked_are_not_learned_from(tmp_path):
    rows_of(tmp_path, lines(SOUND))
    rows = tmp_path / kept.CANONICAL
    assert len(load(REF, str(rows), 40).train) == 160
    rows.write_bytes(rows.read_bytes().replace(b"day 7 of", b"day 8 of"))
    with pytest.raises(Conflict, match="changed on the worker after its rows were checked; upload it again"):
        load(REF, str(rows), 40)


def test_what_names_a_dataset_is_its_file_and_how_it_was_read():
    plain, mapped = Reading(), Reading(columns=ColumnMapping(prompt="q"))
    assert dataset_identity("a" * 64, plain) == "a" * 64
    assert dataset_identity("a" * 64, mapped) != dataset_identity("b" * 64, mapped)
    assert dataset_identity("a" * 64, mapped) == dataset_identity("a" * 64, Reading(columns=mapped.columns))
