"""All kinds of graders, graded by the batch: what they score, and what they refuse to score."""

from uuid import UUID, uuid4

import pytest

from app.graders.answer import Answer
from app.graders.bench import Bench, Resources
from app.graders.grading import check, item_fields
from app.graders.parts import asks_judge
from app.protocol import (
    Abstain,
    GraderError,
    JudgeMessage,
    Length,
    Math,
    Multi,
    Python,
    Regex,
    RewardModelGrader,
    Score,
    ScoreModel,
    SelfCorrection,
    Sql,
    StringCheck,
    TextSimilarity,
    pass_threshold,
)


@pytest.fixture(scope="module")
def bench():
    with Bench() as bench:
        yield bench


def scores(bench, grader, *texts, **item):
    """Numbers; None where the grader abstained or failed."""
    outcomes = bench.grade(grader, [Answer(text, item) for text in texts])
    return [outcome.value if isinstance(outcome, Score) else None for outcome in outcomes]


def why(bench, grader, text, **item):
    (outcome,) = bench.grade(grader, [Answer(text, item)])
    assert isinstance(outcome, GraderError | Abstain), outcome
    return outcome.why


# Text


@pytest.mark.parametrize(
    ("metric", "near"),
    [
        ("fuzzy_match", 32 / 46),
        ("bleu", None),
        ("gleu", 7 / 22),
        ("rouge_1", 8 / 13),
        ("rouge_2", 4 / 11),
        ("rouge_l", 8 / 13),
    ],
)
def test_similarity_is_one_for_the_reference_and_less_for_a_paraphrase(bench, metric, near):
    grader = TextSimilarity(name="t", reference="{{ item.right }}", evaluation_metric=metric)
    right = "the cat sat on the mat today"
    same, paraphrase, empty, other = scores(
        bench, grader, right, "a cat sat on a mat", "", "zzz", right=right
    )
    assert (same, empty, other) == (1, 0, 0)
    assert 0 < paraphrase < 0.8
    assert near is None or paraphrase == pytest.approx(near)


def test_similarity_knows_words_of_any_script_and_stays_quick_on_long_texts(bench):
    grader = TextSimilarity(name="t", reference="кот сидел на коврике", evaluation_metric="rouge_l")
    assert scores(bench, grader, "кот сидел тут") == [pytest.approx(4 / 7)]
    long = TextSimilarity(name="t", reference="a b " * 900, evaluation_metric="rouge_l")
    assert scores(bench, long, "b a " * 16_000)[0] is not None


def test_similarity_to_nothing_is_an_error(bench):
    grader = TextSimilarity(name="t", reference="{{ item.right }}")
    assert "no word" in why(bench, grader, "x", right=" \n")


@pytest.mark.parametrize("metric", ["cosine", "meteor"])
def test_measures_that_are_not_offered_are_refused_with_those_that_are(metric):
    with pytest.raises(ValueError, match="fuzzy_match"):
        TextSimilarity(name="t", reference="x", evaluation_metric=metric)


def test_length_falls_to_nothing_at_half_and_at_twice(bench):
    grader = Length(name="l", low=4, high=8)
    texts = ["a b c d", "a " * 8, "a b", "a b c", "a " * 12, "a " * 16, "", "a " * 100]
    assert scores(bench, grader, *texts) == [1, 1, 0, 0.5, 0.5, 0, 0, 0]
    assert scores(bench, Length(name="l", high=3, unit="characters"), "", "abc", "abcdef") == [1, 1, 0]


# Mathematics


@pytest.mark.parametrize(
    ("reference", "text", "expected"),
    [
        ("1/2", "0.5", 1),
        ("1/2", r"so it is $\frac{1}{2}$", 1),
        (r"\frac{1}{2}", "0.5", 1),
        ("1/2", r"first \boxed{0.5}, no: \boxed{0.25}", 0),
        ("42", "It is 41, no, 42", 1),
        ("42", "It is 42, no, 41", 0),
        ("1234", "1,234", 1),
        ("x+1", "$1+x$", 1),
        ("-3", "it is -3.", 1),
        ("3", "none", 0),
        ("3", "", 0),
    ],
)
def test_math_compares_values_and_not_spellings(bench, reference, text, expected):
    assert scores(bench, Math(name="m", reference="{{ item.right }}"), text, right=reference) == [expected]


def test_a_reference_without_mathematics_is_an_error_and_so_is_what_takes_too_long(bench, monkeypatch):
    assert "no number or formula" in why(bench, Math(name="m", reference="lawful"), "3")
    monkeypatch.setattr("app.graders.sandbox.sums.SECONDS", 1.0)
    assert "took more than" in why(bench, Math(name="m", reference="1"), "9**9**9**9")
    assert scores(bench, Math(name="m", reference="1"), "1") == [1]


# SQL


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT 1", 1),
        ("select * from t where a = 1;", 1),
        ("WITH a AS (SELECT 1) SELECT * FROM a", 1),
        ("INSERT INTO t VALUES (1)", 1),
        ("hello", 0),
        ("hello world", 0),
        ("SELECT", 0),
        ("SELECT FROM WHERE", 0),
        ("SELECT 1; SELECT 2", 0),
        ("", 0),
        ("(" * 5000, 0),
        ("SELECT " + "(" * 3000 + "1" + ")" * 3000, 0),
    ],
)
def test_sql_parses_or_does_not(bench, query, expected):
    assert scores(bench, Sql(name="s"), query) == [expected]


PEOPLE = "CREATE TABLE t (a INT, b TEXT, c REAL); INSERT INTO t VALUES (1,'x',0.1),(2,'y',0.2),(3,'x',0.3);"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT a FROM t WHERE b = 'x'", 1),
        ("SELECT a AS other FROM t WHERE b = 'x' ORDER BY a DESC;", 1),
        ("SELECT a FROM t WHERE b <> 'y'", 1),
        ("SELECT a FROM t", 0),
        ("SELECT a FROM t WHERE b = 'x' UNION ALL SELECT 1", 0),
        ("SELECT b FROM t WHERE b = 'x'", 0),
        ("SELECT a FROM missing", 0),
        ("nonsense", 0),
        ("DELETE FROM t", 0),
        ("DROP TABLE t", 0),
        ("INSERT INTO t VALUES (9, 'x', 1) RETURNING a", 0),
        ("PRAGMA table_info(t)", 0),
        ("ATTACH '/tmp/x.db' AS x", 0),
        ("SELECT load_extension('x')", 0),
        ("SELECT randomblob(1000000000)", 0),
        ("SELECT group_concat(a.b || b.b) FROM t a, t b, t c, t d, t e, t f, t g, t h, t i, t j", 0),
    ],
)
def test_sql_is_right_when_it_returns_the_same_rows(bench, query, expected):
    grader = Sql(name="s", fixture=PEOPLE, reference="SELECT a FROM t WHERE b = 'x'")
    good = "SELECT a FROM t WHERE b = 'x'"
    assert scores(bench, grader, query, good) == [expected, 1], "and the database is as before"


def test_sql_order_counts_only_where_it_is_asked_for_and_sums_may_differ_in_their_last_digits(bench):
    right = "SELECT a FROM t ORDER BY a"
    grader = Sql(name="s", fixture=PEOPLE, reference=right, ordered=True)
    assert scores(bench, grader, right, "SELECT a FROM t ORDER BY a DESC") == [1, 0]
    sums = Sql(name="s", fixture=PEOPLE, reference="SELECT sum(c) FROM t")
    assert scores(bench, sums, "SELECT 0.3 + 0.2 + 0.1") == [1]


def test_an_endless_query_ends(bench, monkeypatch):
    monkeypatch.setattr("app.graders.sql.SECONDS", 0.2)
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    grader = Sql(name="s", fixture=PEOPLE, reference="SELECT 1")
    assert scores(bench, grader, endless, "SELECT 1") == [0, 1]
    assert "reference query fails" in why(bench, grader.model_copy(update={"reference": endless}), "SELECT 1")


def test_a_fixture_that_cannot_be_built_is_named_before_and_never_scored(bench):
    for fixture in ("CREATE TABLE", "ATTACH '/tmp/x.db' AS x", "PRAGMA journal_mode = wal"):
        grader = Sql(name="s", fixture=fixture, reference="SELECT 1")
        assert [problem.where for problem in check(grader)] == ["grader.fixture"]
        assert "fixture" in why(bench, grader, "SELECT 1")
    assert [p.where for p in check(Sql(name="s", fixture=PEOPLE))] == ["grader.reference"]


# Graders of graders

HAS_X = StringCheck(name="x", operation="like", reference="x")
SHORT = Length(name="short", high=2)


def multi(expression, **graders):
    return Multi(name="m", graders=graders or {"x": HAS_X, "short": SHORT}, calculate_output=expression)


@pytest.mark.parametrize(
    ("expression", "with_x", "without"),
    [
        ("0.7 * x + 0.3 * short", 1, 0.3),
        ("x * short", 1, 0),
        ("min(x, short)", 1, 0),
        ("max(x, short) / 2", 0.5, 0.5),
        ("0.5 + x ^ 2 / 4", 0.75, 0.5),
        ("abs(-x) - -0.1", 1, 0.1),
        ("floor(x + 0.5) + ceil(0 - 0.5)", 1, 0),
        ("sqrt(x) * exp(0) + log(1)", 1, 0),
        ("x * 5 - 2", 1, 0),
    ],
)
def test_multi_computes_with_the_scores_and_clips_the_result(bench, expression, with_x, without):
    found = scores(bench, multi(expression), "x", "y")
    assert found == [pytest.approx(with_x), pytest.approx(without)]


def test_multi_shows_its_parts(bench):
    (outcome,) = bench.grade(multi("x"), [Answer("a b c d")])
    assert outcome.parts == {"x": 0.0, "short": 0.0}


@pytest.mark.parametrize(
    "expression", ["1 / x", "log(x)", "exp(1000 + x)", "x ^ (0 - 1)", "(0 - 1 - x) ^ 0.5", "1e308 * 10 + x"]
)
def test_an_expression_without_a_value_is_an_error_and_not_a_zero(bench, expression):
    assert "expression" in why(bench, multi(expression), "y")


@pytest.mark.parametrize(
    "expression",
    [
        "x +", "__import__('os')", "x.real", "x[0]", "x if short else 1", "lambda: x", "'a' * 9",
        "x and short", "x < short", "[x for x in y]", "open(x)", "min()", "sqrt(x, short)", "x(short)",
        "True + x",        "x; short", "max(*x)", "(" * 400 + "x" + ")" * 400, "1j * x", "x := 1", "f'{x}'",
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused_before_anything_is_graded(bench, expression):
    assert [problem.where for problem in check(multi(expression))] == ["grader.calculate_output"]
    assert why(bench, multi(expression), "x")


def test_names_are_checked_in_all_of_it():
    assert "none of its graders" in check(multi("x + other"))[0].what
    assert "uses none" in check(multi("1 + 2"))[0].what
    assert (
        check(multi("a", **{"a": HAS_X, "min": SHORT, "two words": SHORT}))[0].where == "grader.graders.min"
    )
    assert check(multi("x", x=Regex(name="r", pattern="(")))[0].where == "grader.graders.x.pattern"


def test_a_part_that_failed_or_abstained_is_not_made_up_for(bench):
    missing = StringCheck(name="s", reference="{{ item.right }}")
    silent = Python(name="p", source="def grade(sample, item):\n    return None")
    assert "right" in why(bench, multi("x + bad", x=HAS_X, bad=missing), "x")
    assert "abstained" in why(bench, multi("x + silent", x=HAS_X, silent=silent), "x")
    (outcome,) = bench.grade(multi("x", x=HAS_X, silent=silent), [Answer("x")])
    assert outcome == Score(value=1.0, parts={"x": 1.0, "silent": None})


DRAFT = Regex(name="draft", pattern=r"Draft: (\w+)", match="first", reference="{{ item.right }}")
FINAL = Regex(name="final", pattern=r"Ruling: (\w+)", reference="{{ item.right }}")


def test_self_correction_pays_for_mending_and_charges_for_spoiling(bench):
    grader = SelfCorrection(name="s", draft=DRAFT, final=FINAL)
    mended, kept, wrong, spoiled = (f"Draft: {d} Ruling: {r}" for d, r in ("ny", "yy", "nn", "yn"))
    found = scores(bench, grader, mended, kept, wrong, spoiled, "Ruling: y", "Ruling: n", "", right="y")
    assert found == [1.0, 0.8, 0.1, 0.0, 0.8, 0.1, 0.1]
    assert pass_threshold(grader) == 0.8


def test_self_correction_knows_its_own_problems_and_fields(bench):
    grader = SelfCorrection(name="s", draft=Regex(name="d", pattern="("), final=FINAL)
    assert [problem.where for problem in check(grader, "g")] == ["g.draft.pattern"]
    assert item_fields(grader) == {"right"}
    assert "final" in why(bench, SelfCorrection(name="s", draft=HAS_X, final=FINAL), "x")


# Where graders need something that is not here


def test_a_reward_model_grades_where_there_is_one_and_says_where_that_is(bench):
    run = uuid4()
    grader = RewardModelGrader(name="r", run=run)

    def score(asked: UUID, answers):
        if asked != run:
            raise LookupError("no such run")
        return [0.25 * len(answer.text) if answer.text else float("nan") for answer in answers]

    with Bench(Resources(reward_models=score)) as able:
        assert scores(able, grader, "a", "ab", "") == [0.25, 0.5, None]
        assert "no such run" in why(able, RewardModelGrader(name="r", run=uuid4()), "x")
    assert "inside a run" in why(bench, grader, "x")


def test_a_reward_model_that_breaks_is_an_error_for_every_answer():
    def broken(asked, answers):
        raise RuntimeError("out of memory")

    with Bench(Resources(reward_models=broken)) as bench:
        assert "out of memory" in why(bench, RewardModelGrader(name="r", run=uuid4()), "x")


def test_without_a_judge_the_setting_is_named(bench):
    grader = ScoreModel(name="j", input=[JudgeMessage(role="user", content="{{ sample.output_text }}")])
    assert "TUNING_FORK_WORKER_JUDGE_URL" in why(bench, grader, "x")
    assert asks_judge(multi("x + j", x=HAS_X, j=grader))
    assert not asks_judge(HAS_X)


def test_names_in_a_judges_messages_are_checked_and_needed_of_the_rows():
    message = JudgeMessage(role="user", content="{{ item.question }} {{ sample.text }}")
    grader = ScoreModel(name="j", input=[message])
    assert [problem.where for problem in check(grader)] == ["grader.input.0.content"]
    assert item_fields(grader) == {"question"}


# Python, before it runs


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("def grade(s, i) return 1", "line 1 is not Python"),
        ("x = 1\n  y = 2", "line 2"),
        ("def score(s, i):\n    return 1", "no function `grade"),
        ("def grade(s):\n    return 1", "two arguments"),
        ("def grade(s, i, more):\n    return 1", "two arguments"),
        ("def grade(s, i, *, more):\n    return 1", "two arguments"),
        ("async def grade(s, i):\n    return 1", "async"),
        ("x = 1\x00", "not Python"),
        ("(" * 10_000, "not Python"),
    ],
)
def test_a_python_grader_that_would_always_fail_is_named_before(source, word):
    (problem,) = check(Python(name="p", source=source))
    assert problem.where == "grader.source"
    assert word in problem.what


@pytest.mark.parametrize(
    "source",
    [
        "def grade(sample, item):\n    return 1",
        "def grade(sample, item, more=3):\n    return 1",
        "def grade(*both):\n    return 1",
        "grade = lambda sample, item: 1",
        "import math\ndef help(x):\n    return x\ndef grade(s, i):\n    return help(1)",
    ],
)
def test_python_graders_of_every_spelling_are_accepted(source):
    assert check(Python(name="p", source=source)) == ()


def test_a_source_of_a_megabyte_and_a_range_that_falls_are_refused():
    with pytest.raises(ValueError, match="at most 32000"):
        Python(name="p", source="#" * 1_000_000)
    with pytest.raises(ValueError, match="low must be below high"):
        Python(name="p", source="x", low=1.0, high=0.0)


# The bench itself


def test_no_answers_give_no_outcomes(bench):
    assert bench.grade(HAS_X, []) == []
    assert bench.grade(multi("x"), []) == []
    assert bench.grade(Python(name="p", source="def grade(s, i):\n    return 1"), []) == []


def test_an_answer_that_breaks_a_grader_is_an_error_and_the_others_are_scored(bench):
    half = "\ud800"  # of a surrogate pair
    assert scores(bench, Regex(name="r", pattern="x"), "x", half, "y") == [1, None, 0]


def test_a_bench_that_was_closed_opens_again():
    grader = Python(name="p", source="def grade(s, i):\n    return 1")
    bench = Bench()
    for _ in range(2):
        assert scores(bench, grader, "x") == [1]
        bench.close()
