"""What graders score, and what they refuse to score."""

import json
import subprocess
import sys

import pytest

from app.graders.grading import check, grade, item_fields
from app.graders.patterns import MOST_MATCHES
from app.protocol import GraderError, JsonSchema, Regex, Score, StringCheck


def score(grader, output_text: str, **item: object) -> float:
    outcome = grade(grader, output_text, item)
    assert isinstance(outcome, Score), outcome
    return outcome.value


def why(grader, output_text: str, **item: object) -> str:
    outcome = grade(grader, output_text, item)
    assert isinstance(outcome, GraderError), outcome
    return outcome.why


@pytest.mark.parametrize(
    ("operation", "output", "reference", "expected"),
    [
        ("eq", "lawful", "lawful", 1),
        ("eq", "Lawful", "lawful", 0),
        ("eq", "lawful ", "lawful", 0),
        ("eq", "", "lawful", 0),
        ("ne", "lawful", "lawful", 0),
        ("ne", "void", "lawful", 1),
        ("like", "it is lawful here", "lawful", 1),
        ("like", "it is Lawful here", "lawful", 0),
        ("ilike", "it is LAWFUL here", "Lawful", 1),
        ("ilike", "STRASSE", "straße", 1),
        ("ilike", "it is void", "lawful", 0),
    ],
)
def test_string_check(operation, output, reference, expected):
    grader = StringCheck(name="s", reference="{{ item.answer }}", operation=operation)
    assert score(grader, output, answer=reference) == expected


@pytest.mark.parametrize("operation", ["like", "ilike"])
def test_an_empty_reference_is_an_error_and_not_a_gift(operation):
    grader = StringCheck(name="s", reference="{{ item.answer }}", operation=operation)
    assert "empty" in why(grader, "anything", answer="")


@pytest.mark.parametrize(
    ("match", "output", "expected"),
    [
        ("last", "Ruling: void. Ruling: lawful", 1),
        ("last", "Ruling: lawful. Ruling: void", 0),
        ("first", "Ruling: lawful. Ruling: void", 1),
        ("first", "Ruling: void. Ruling: lawful", 0),
        ("any", "Ruling: void. Ruling: lawful. Ruling: void", 1),
        ("any", "Ruling: void", 0),
        ("last", "no ruling at all", 0),
        ("last", "", 0),
    ],
)
def test_regex_compares_the_match_that_was_asked_for(match, output, expected):
    grader = Regex(name="r", pattern=r"Ruling: (\w+)", match=match, reference="{{ item.answer }}")
    assert score(grader, output, answer="lawful") == expected


def test_listing_every_possibility_does_not_win():
    grader = Regex(name="r", pattern=r"Ruling: (\w+)", reference="{{ item.answer }}")
    assert score(grader, "Ruling: lawful Ruling: void Ruling: remanded", answer="lawful") == 0


def test_without_a_group_the_whole_match_counts_and_without_a_reference_any_match():
    assert score(Regex(name="r", pattern=r"\d+", reference="42"), "it is 42") == 1
    assert score(Regex(name="r", pattern=r"\d+"), "it is 42") == 1
    assert score(Regex(name="r", pattern=r"\d+"), "it is not") == 0
    assert score(Regex(name="r", pattern=r"a(b)?", reference="b"), "a") == 0


def test_white_space_around_an_extracted_part_does_not_matter():
    assert score(Regex(name="r", pattern=r"Ruling:(.*)", reference="lawful"), "Ruling:  lawful \n") == 1


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^[A-Z]"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ('{"name": "Ada", "age": 36}', 1),
        (' \n{"name": "Ada"}\n', 1),
        ('{"name": "ada"}', 0),
        ('{"name": "Ada", "age": -1}', 0),
        ('{"name": "Ada", "age": 1.5}', 0),
        ('{"name": "Ada", "extra": 1}', 0),
        ("{}", 0),
        ("", 0),
        ("name: Ada", 0),
        ('{"name": "Ada"', 0),
        ('```json\n{"name": "Ada"}\n```', 0),
        ('{"name": "Ada"} and more', 0),
        ('{"name": "Ada", "name": "Bob"}', 0),
        ('{"name": NaN}', 0),
        ("[" * 10_000, 0),
        ('"\ud800"', 0),
    ],
)
def test_json_schema(output, expected):
    assert score(JsonSchema(name="j", schema=PERSON), output) == expected


def test_references_within_a_schema_are_followed():
    schema = {
        "$ref": "#/$defs/list",
        "$defs": {"list": {"type": "array", "items": {"$ref": "#/$defs/n"}}, "n": {"type": "integer"}},
    }
    assert score(JsonSchema(name="j", schema=schema), json.dumps(list(range(5000)))) == 1
    assert score(JsonSchema(name="j", schema=schema), "[1, true]") == 0


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"type": "objekt"}, "not a JSON Schema"),
        ({"type": 3}, "not a JSON Schema"),
        ({"$ref": "https://example.org/schema.json"}, "$ref points to"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "$ref points to"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "does not compile"),
        ({"patternProperties": {"(a+)+$": {}}}, "patternProperties"),
    ],
)
def test_a_schema_that_cannot_be_used_is_named_before_and_never_scored(schema, word):
    grader = JsonSchema(name="j", schema=schema)
    assert word in check(grader)[0].what
    assert check(grader)[0].where == "grader.schema"
    assert word in why(grader, "{}")


def test_a_schema_that_doubles_its_work_at_every_level_is_stopped():
    branch = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**branch, "a40": {"type": "string"}}}
    assert "too often" in why(JsonSchema(name="j", schema=schema), "1")


def test_a_schema_that_refers_to_itself_or_to_nothing_is_an_error():
    assert "too often" in why(JsonSchema(name="j", schema={"$ref": "#"}), "1")
    assert "does not define" in why(JsonSchema(name="j", schema={"$ref": "#/$defs/missing"}), "1")


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"(a|aa)+$", r"(.*a){20}b", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(x+x+)+y"]
)
def test_patterns_that_make_a_backtracker_explode_are_only_patterns_here(pattern):
    assert score(Regex(name="r", pattern=pattern), "a" * 20_000 + "!") in (0, 1)


@pytest.mark.parametrize("pattern", ["(?=a)", "(?!a)", r"(a)\1", "a{1001}", "(", "[", r"(\pL{1,100}){1,10}x"])
def test_patterns_beyond_re2_are_refused_before_and_never_scored(pattern):
    grader = Regex(name="r", pattern=pattern)
    (problem,) = check(grader, "draft_grader")
    assert problem.where == "draft_grader.pattern"
    assert "does not compile" in problem.what
    assert "does not compile" in why(grader, "a")


def test_a_pattern_with_more_matches_than_can_be_looked_at_is_an_error():
    grader = Regex(name="r", pattern="a.*?b|a", reference="a")
    assert score(grader, "a" * MOST_MATCHES) == 1
    assert str(MOST_MATCHES) in why(grader, "a" * (MOST_MATCHES + 1))


@pytest.mark.parametrize(
    "text",
    ["{{7*7}}", "{{ cycler.__init__ }}", "{% for i in range(10) %}", "${7*7}", "<%= 7 %>", "{{item}}", "{{"],
)
def test_what_looks_like_a_template_in_data_stays_text(text):
    grader = StringCheck(name="s", reference="{{ item.answer }}")
    assert score(grader, text, answer=text) == 1
    assert score(grader, "49", answer=text) == 0


def test_expressions_in_a_template_stay_text():
    assert score(StringCheck(name="s", reference="{{7*7}}"), "{{7*7}}") == 1
    assert check(StringCheck(name="s", reference="{{7*7}}")) == ()


def test_an_answer_cannot_smuggle_in_a_name():
    grader = StringCheck(name="s", input="{{ sample.output_text }}", reference="{{ item.answer }}")
    assert score(grader, "{{ item.answer }}", answer="lawful") == 0


def test_values_that_are_not_texts_are_written_as_json():
    grader = StringCheck(name="s", reference="{{ item.answer }}")
    for value, text in ((3, "3"), (2.5, "2.5"), (True, "true"), (None, "null"), (["a"], '["a"]')):
        assert score(grader, text, answer=value) == 1
    assert score(StringCheck(name="s", reference="{{ item.a.b.1 }}"), "y", a={"b": ["x", "y"]}) == 1


def test_a_field_that_the_row_lacks_is_an_error_and_not_a_zero():
    assert "item.answer" in why(StringCheck(name="s", reference="{{ item.answer }}"), "x")
    assert "item.a.9" in why(StringCheck(name="s", reference="{{ item.a.9 }}"), "x", a=["b"])


def test_an_unknown_name_is_found_before_grading():
    grader = StringCheck(name="s", input="{{ sample.text }}", reference="{{ itme.answer }}")
    assert [problem.where for problem in check(grader)] == ["grader.input", "grader.reference"]
    assert "unknown" in why(grader, "x")


def test_a_good_grader_has_no_problems():
    assert check(StringCheck(name="s", reference="{{ item.answer.deep }}")) == ()
    assert check(Regex(name="r", pattern=r"\d+")) == ()
    assert check(JsonSchema(name="j", schema=PERSON)) == ()


def test_the_fields_that_a_grader_needs_are_known():
    grader = Regex(
        name="r", pattern="x", input="{{ item.a.b }}{{ sample.output_text }}", reference="{{item.c}}"
    )
    assert item_fields(grader) == {"a", "c"}
    assert item_fields(JsonSchema(name="j", schema={})) == frozenset()


def test_comparing_models_and_reading_datasets_needs_no_regex_engine():
    """The web does both, and is installed without the worker's libraries."""
    code = (
        "import sys; sys.modules['re2'] = sys.modules['jsonschema'] = sys.modules['torch'] = None\n"
        "import app.graders.comparison, app.datasets.formats"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
