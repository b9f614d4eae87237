"""Whether answers have the form that a grader reads."""

import pytest

from app.graders.answer import Answer
from app.graders.bench import Bench
from app.graders.forms import readable
from app.protocol import JsonSchema, Math, Multi, Regex, SelfCorrection, Sql, StringCheck, TextSimilarity

RULING = Regex(name="ruling", pattern=r"Ruling: (\w+)", reference="{{ item.answer }}")
RECORD = JsonSchema(name="record", json_schema={"type": "object", "required": ["kind"]})
SUM = Math(name="sum", reference="{{ item.answer }}")
QUERY = Sql(name="query", fixture="CREATE TABLE t (a);", reference="SELECT a FROM t")
NEAR = TextSimilarity(name="near", reference="{{ item.answer }}")


@pytest.mark.parametrize(
    ("grader", "said", "expected"),
    [
        (RULING, ["Ruling: void", "void", ""], [True, False, False]),
        (RECORD, ['{"kind": "rent"}', "{}", "kind: rent", ""], [True, True, False, False]),
        (SUM, ["the answer is 7", r"\boxed{1/2}", "I cannot tell"], [True, True, False]),
        (QUERY, ["SELECT 1", "SELECT nothing FROM nowhere", "give me all"], [True, True, False]),
    ],
)
def test_the_form_is_read_whether_or_not_the_answer_is_right(grader, said, expected):
    with Bench() as bench:
        assert readable(grader, [Answer(text, {"answer": "1"}) for text in said], bench.grade) == expected


def test_a_grader_that_reads_any_text_has_no_form():
    with Bench() as bench:
        for grader in (NEAR, StringCheck(name="same", reference="{{ item.answer }}")):
            assert readable(grader, [Answer("yes", {"answer": "yes"})], bench.grade) is None


def test_of_several_graders_each_that_has_a_form_must_read_the_answer():
    both = Multi(name="both", graders={"a": RULING, "b": RECORD, "c": NEAR}, calculate_output="a + b + c")
    only = Multi(name="one", graders={"a": RULING, "c": NEAR}, calculate_output="a + c")
    answers = [Answer("Ruling: void", {"answer": "void"}), Answer("{}", {"answer": "void"})]
    with Bench() as bench:
        assert readable(both, answers, bench.grade) == [False, False]
        assert readable(only, answers, bench.grade) == [True, False]


def test_a_self_correction_is_read_by_its_final_answer():
    draft = RULING.model_copy(update={"pattern": r"Draft: (\w+)"})
    grader = SelfCorrection(name="mended", draft=draft, final=RULING)
    with Bench() as bench:
        said = [Answer("Ruling: void", {"answer": "void"}), Answer("Draft: void", {"answer": "void"})]
        assert readable(grader, said, bench.grade) == [True, False]
