"""The grader form: every kind round-trips, and what is wrong stands beside its field."""

import json
from uuid import UUID

import pytest

from app.protocol import (
    JsonSchema,
    Length,
    Math,
    Multi,
    Python,
    Regex,
    RewardModelGrader,
    ScoreModel,
    SelfCorrection,
    Sql,
    StringCheck,
    TextSimilarity,
)
from app.web.grader_form import initial, read, values, whole_as_json
from app.web.grader_kinds import KINDS

EXACT = StringCheck(name="exact", reference="{{ item.answer }}")
RULING = Regex(name="ruling", pattern=r"Ruling: (\w+)", reference="{{ item.answer }}", match="first")
JUDGE = ScoreModel(
    name="judge",
    model="judge-1",
    input=[
        {"role": "system", "content": "Score it.\nBe strict."},
        {"role": "user", "content": "{{ sample.output_text }}"},
        {"role": "assistant", "content": "0.5"},
    ],
    range=[1.0, 5.0],
    pass_threshold=0.75,
)
SHORT = Length(name="short", low=2, high=30, unit="characters")

EVERY_KIND = [
    EXACT.model_copy(update={"operation": "ilike", "input": "{{ sample.output_text }}!"}),
    RULING,
    Regex(name="any", pattern="a|b"),
    Math(name="sum", reference="{{ item.answer }}"),
    JsonSchema(name="shape", schema={"type": "object", "properties": {"a": {"const": None}}}),
    Sql(
        name="query",
        fixture="CREATE TABLE t(a);\nINSERT INTO t VALUES (1);",
        reference="{{ item.q }}",
        ordered=True,
    ),
    Sql(name="parses"),
    Python(
        name="own", source="def grade(sample, item):\n    return 1.0\n", sandbox="cage", low=-1.0, high=0.5
    ),
    TextSimilarity(
        name="near", reference="{{ item.reference }}", evaluation_metric="rouge_l", pass_threshold=0.35
    ),
    SHORT,
    JUDGE,
    RewardModelGrader(name="liked", run=UUID(int=7), pass_threshold=0.6),
    SelfCorrection(name="mends", draft=RULING, final=EXACT, kept_right=0.7, wrong=0.05),
    Multi(
        name="both",
        graders={
            "regex": RULING,
            "length": SHORT,
            "inner": Multi(name="i", graders={"x": EXACT}, calculate_output="x"),
        },
        calculate_output="0.8 * regex + 0.2 * length",
    ),
]


def test_these_are_all_kinds():
    assert {spec.type for spec in EVERY_KIND} == set(KINDS)


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: f"{spec.type} {spec.name}")
@pytest.mark.parametrize(
    "choices", [[], [("grader:1", "exact, version 1", EXACT)]], ids=["written", "stored"]
)
def test_a_form_gives_back_the_grader_that_it_shows(spec, choices):
    form = values(spec, choices)
    as_a_browser_sends_it = {name: text.replace("\n", "\r\n") for name, text in form.items()}
    reading = read(spec.type, as_a_browser_sends_it, choices)
    assert reading.problems == []
    assert reading.spec == spec


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: f"{spec.type} {spec.name}")
def test_the_json_gives_back_the_grader_that_it_shows(spec):
    assert read("json", {"json": whole_as_json(spec)}).spec == spec


def test_a_stored_grader_is_shown_as_chosen():
    form = values(EVERY_KIND[-2], [("grader:1", "exact, version 1", EXACT)])
    assert form["final.choice"] == "grader:1"
    assert form["draft.choice"] == "json"


@pytest.mark.parametrize(
    "kind", sorted(set(KINDS) - {"score_model", "self_correction", "multi", "reward_model", "regex", "sql"})
)
def test_a_form_as_it_opens_needs_only_a_name(kind):
    assert [problem.where for problem in read(kind, initial(kind)).problems] == ["name"]
    assert read(kind, initial(kind) | {"name": "mine"}).spec is not None


@pytest.mark.parametrize(
    ("kind", "typed", "where", "words"),
    [
        ("regex", {"pattern": ""}, "pattern", "Pattern is missing."),
        ("regex", {"pattern": "x" * 1001}, "pattern", "must be at most 1,000 characters long"),
        ("text_similarity", {"pass_threshold": "2"}, "pass_threshold", "must be at most 1"),
        (
            "text_similarity",
            {"pass_threshold": "0,8"},
            "pass_threshold",
            "a number with a point, such as 0.8",
        ),
        ("text_similarity", {"evaluation_metric": "cosine"}, "evaluation_metric", "must be one of"),
        ("length", {"high": "1.5"}, "high", "At most must be a whole number"),
        ("length", {"low": "9", "high": "3"}, "low", "low must not be above high"),
        ("json_schema", {"schema": "{"}, "schema", "The JSON cannot be used"),
        ("json_schema", {"schema": "[]"}, "schema", "This must be a JSON object"),
        ("reward_model", {"run": "yesterday's"}, "run", "choose a finished reward-model run"),
        ("score_model", {}, "input.0.content", "Messages: is missing"),
        (
            "score_model",
            {"input.1.content": "x", "input.1.role": "boss"},
            "input.1.content",
            "must be one of",
        ),
        ("score_model", {"input.0.content": "x", "range.low": "5"}, "range.low", "the range must rise"),
        ("self_correction", {}, "draft.choice", "Grader of the draft: choose a grader, or write it as JSON."),
        ("self_correction", {"draft.choice": "grader:9"}, "draft.choice", "no longer there"),
        ("multi", {}, "graders.0.name", "Add at least one part."),
        ("multi", {"graders.2.json": "{}"}, "graders.2.name", "Part 3 needs a name"),
        ("python", {"source": "x" * 32_001}, "source", "must be at most 32,000 characters long"),
        ("python", {"low": "-2"}, "low", "must be at least -1"),
        ("string_check", {"name": "x" * 81}, "name", "must be at most 80 characters long"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(kind, typed, where, words):
    form = initial(kind) | {"name": "mine"} | typed
    problems = read(kind, form).problems
    assert any(problem.where == where and words in problem.what for problem in problems), problems


def test_a_problem_inside_a_part_stands_beside_that_part():
    form = initial("multi") | {
        "name": "both",
        "calculate_output": "regex",
        "graders.1.name": "regex",
        "graders.1.json": '{"type": "regex", "name": "r"}',
    }
    (problem,) = read("multi", form).problems
    assert (problem.where, problem.what) == ("graders.1.choice", "regex.pattern: is missing.")


OPENAI_PARTS = [
    {
        "type": "string_check",
        "name": "right",
        "operation": "eq",
        "input": "{{ sample.output_text }}",
        "reference": "x",
    },
    {
        "type": "score_model",
        "name": "nice",
        "model": "m",
        "input": [
            {"role": "developer", "content": {"type": "input_text", "text": "Score."}},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
            },
        ],
    },
]


@pytest.mark.parametrize(
    "parts", [OPENAI_PARTS, {each["name"]: each for each in OPENAI_PARTS}], ids=["list", "dict"]
)
def test_what_openai_writes_is_taken(parts):
    whole = {"type": "multi", "name": "all", "graders": parts, "calculate_output": "0.5 * right + 0.5 * nice"}
    reading = read("json", {"json": json.dumps(whole)})
    assert reading.problems == []
    assert isinstance(reading.spec, Multi)
    assert list(reading.spec.graders) == ["right", "nice"]
    judge = reading.spec.graders["nice"]
    assert isinstance(judge, ScoreModel)
    assert [(each.role, each.content) for each in judge.input] == [("system", "Score."), ("user", "a\nb")]


def test_a_single_part_without_a_list_is_taken_too():
    whole = {"type": "multi", "name": "all", "graders": OPENAI_PARTS[0], "calculate_output": "right"}
    spec = read("json", {"json": json.dumps(whole)}).spec
    assert isinstance(spec, Multi)
    assert list(spec.graders) == ["right"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The JSON cannot be used"),
        ("[]", "The grader: must be a JSON object"),
        ('{"name": "x"}', "The grader: needs a “type”"),
        ('{"type": "magic"}', "The grader: the type must be one of"),
        (
            '{"type": "regex", "name": "x", "pattern": "a", "sampling_params": {}}',
            "sampling_params: there is no such field; leave it out.",
        ),
        (
            '{"type": "multi", "name": "m", "calculate_output": "a", "graders": {"a": {"type": "regex"}}}',
            "graders.a.pattern: is missing.",
        ),
        (
            '{"type": "multi", "name": "m", "calculate_output": "a", "graders": [1]}',
            "graders: must be a JSON object",
        ),
        ('{"type": "regex", "name": "x", "name": "y"}', "appears twice"),
    ],
)
def test_bad_json_is_a_sentence(text, words):
    problems = read("json", {"json": text}).problems
    assert problems
    assert all(problem.where == "json" for problem in problems)
    assert any(words in problem.what for problem in problems), problems
