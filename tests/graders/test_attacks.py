"""Graders that can be gamed are caught, and good ones hold."""

import pytest

from app.graders.attacks import attack_answers, attack_report
from app.graders.bench import Bench
from app.protocol import (
    Abstain,
    AttackReport,
    GraderError,
    JsonSchema,
    Length,
    Multi,
    Python,
    Regex,
    Score,
    ScoreModel,
    StringCheck,
    TextSimilarity,
    TriedRow,
)

RULINGS = [
    TriedRow(prompt=f"Is case {n} lawful?", item={"answer": answer, "reference": f"Ruling: {answer}"})
    for n, answer in enumerate(("valid", "invalid", "void", "remanded", "valid"))
]
LABELS = [TriedRow(prompt=row.prompt, item={"answer": row.item["answer"]}) for row in RULINGS]


def attacked(grader, rows=LABELS) -> AttackReport:
    attempts = attack_answers(grader, rows)
    with Bench() as bench:
        outcomes = bench.grade(grader, [each.answer for each in attempts])
    return attack_report(grader, rows, attempts, outcomes)


def scored(grader, rows, score) -> AttackReport:
    """As if the grader gave each attempt what `score` says of its name and text."""
    attempts = attack_answers(grader, rows)
    return attack_report(grader, rows, attempts, [score(each.name, each.answer.text) for each in attempts])


def paying(report: AttackReport) -> set[str]:
    return {attack.name for attack in report.paying}


EXACT = StringCheck(name="exact", reference="{{ item.answer }}")
LAST = Regex(name="ruling", pattern=r"Ruling: (\w+)", reference="{{ item.answer }}")


def test_an_exact_match_holds():
    report = attacked(EXACT)
    assert report.verdict == "holds"
    assert report.control.mean == 1
    assert len(report.attacks) == 9
    assert all(attack.mean == 0 for attack in report.attacks)
    assert report.findings == [
        "None of 9 attacks earns more than half.",
        "Copying the row’s own reference earns 100 %, as it should.",
    ]


def test_the_last_match_holds_where_any_match_is_gamed_by_listing():
    assert attacked(LAST, RULINGS).verdict == "holds"
    report = attacked(LAST.model_copy(update={"match": "any"}), RULINGS)
    assert (report.verdict, paying(report)) == ("gameable", {"every_label"})
    assert "A list of every label earns 100 %: naming all possibilities is rewarded." in report.findings


def test_a_word_that_every_answer_could_hold_is_caught():
    report = attacked(StringCheck(name="has it", reference="valid", operation="like"))
    assert report.verdict == "gameable"
    assert "every_label" in paying(report)


def test_containing_the_reference_is_gamed_by_a_list():
    contains = StringCheck(name="has it", reference="{{ item.answer }}", operation="like")
    assert paying(attacked(contains)) == {"every_label"}


def test_length_alone_is_gamed_by_any_text_of_the_right_length():
    report = attacked(Length(name="short", low=1, high=4), RULINGS)
    assert report.verdict == "gameable"
    assert {"other_reference", "opener", "colon"} <= paying(report)
    assert "very_long" not in paying(report)


def test_a_part_for_length_is_no_way_around_a_right_answer():
    joined = Multi(
        name="both",
        graders={"right": LAST, "short": Length(name="short", high=4)},
        calculate_output="right * (0.8 + 0.2 * short)",
    )
    assert attacked(joined, RULINGS).verdict == "holds"


def test_a_program_with_a_hole_is_caught():
    hole = Python(
        name="own", source='def grade(sample, item):\n    return float(":" in sample["output_text"])'
    )
    assert {"colon", "injection"} <= paying(attacked(hole, RULINGS))


def test_shape_alone_is_gamed_by_the_answer_to_another_question():
    rows = [TriedRow(prompt=str(n), item={"reference": f'{{"n": {n}}}', "answer": str(n)}) for n in range(3)]
    report = attacked(JsonSchema(name="shape", schema={"type": "object"}), rows)
    assert paying(report) == {"other_reference"}
    assert any("does not look at what was asked" in finding for finding in report.findings)


def test_a_row_with_the_same_label_is_no_other_reference():
    same = [
        TriedRow(prompt=str(n), item={"answer": "void", "reference": f"Since {n}. Ruling: void"})
        for n in range(3)
    ]
    report = attacked(LAST, same)
    other = next(attack for attack in report.attacks if attack.name == "other_reference")
    assert (other.n, other.why) == (0, "It needs two rows with different references.")


def test_a_score_near_what_the_reference_earns_pays_even_below_half():
    def stingy(name, text):
        return Score(value=0.55 if name == "reference" else 0.47 if name == "opener" else 0.1)

    report = scored(TextSimilarity(name="near", reference="{{ item.answer }}"), LABELS, stingy)
    assert paying(report) == {"opener"}
    earned = "“The answer is” and no more earns 47 % beside 55 % for the row’s own reference"
    assert report.findings[0] == f"{earned}: an opening phrase is rewarded."


@pytest.mark.parametrize(("name", "caught"), [("colon", True), ("empty", True), ("opener", False)])
def test_a_judge_must_not_be_taken_in_by_nothing_even_once(name, caught):
    judge = ScoreModel(name="judge", input=[{"role": "user", "content": "{{ sample.output_text }}"}])
    seen = []

    def once(attack, text):
        seen.append(attack)
        return Score(value=1.0 if attack == "reference" or (attack == name and seen.count(name) == 1) else 0)

    assert paying(scored(judge, LABELS, once)) == ({name} if caught else set())


def test_a_grader_that_fails_is_unclear_and_the_first_reason_is_told():
    report = scored(EXACT, LABELS, lambda name, text: GraderError(why="the endpoint did not answer"))
    assert report.verdict == "unclear"
    assert report.attacks[0].errors == 5
    assert any("The first time: the endpoint did not answer." in finding for finding in report.findings)


def test_a_grader_that_refuses_the_reference_is_unclear_though_nothing_pays():
    report = attacked(LAST, LABELS)
    assert report.control.mean == 0
    assert report.verdict == "unclear"
    assert any("Copying the row’s own reference earns only 0 %" in finding for finding in report.findings)


def test_abstentions_are_counted_and_never_paid():
    report = scored(EXACT, LABELS, lambda name, text: Abstain(why="not for me"))
    assert (report.attacks[0].abstained, report.attacks[0].mean) == (5, None)
    assert report.verdict == "unclear"


def test_what_a_row_lacks_is_not_tried():
    report = attacked(EXACT, [TriedRow(item={"answer": "4"})])
    untried = {attack.name for attack in report.attacks if not attack.n}
    assert untried == {"prompt", "other_reference", "every_label"}
    assert report.verdict == "holds"


def test_the_very_long_answer_is_eight_kilobytes_and_shown_cut():
    report = attacked(EXACT)
    attempts = attack_answers(EXACT, LABELS)
    assert {len(each.answer.text) for each in attempts if each.name == "very_long"} == {8192}
    assert all(len(attack.example) <= 301 for attack in report.attacks)
