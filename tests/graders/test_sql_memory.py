"""What a query or a fixture may hold in the memory of the process that grades, which is the worker's too."""

import json
import subprocess
import sys

import pytest

from app.graders.grading import check
from app.graders.sql import MOST_BYTES
from app.protocol import Sql

COUNT = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 9999)"
WIDE = f"{COUNT} SELECT n, {', '.join(['zeroblob(40000)'] * 40)} FROM t"
FILLS = f"CREATE TABLE t (x); INSERT INTO t {COUNT} SELECT zeroblob(40000) FROM t;"
KEEPS = (
    f"CREATE TABLE t (x); INSERT INTO t {COUNT} SELECT zeroblob(40000) FROM t LIMIT 190;"
    + "SAVEPOINT s; UPDATE t SET x = randomblob(40000);" * 40
)

GRADED_ALONE = """
import json, resource, sys
from app.graders.answer import Answer
from app.graders.sql import grade_sql
from app.protocol import Sql

given = json.load(sys.stdin)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
grader = Sql(name="s", fixture=given["fixture"], reference=given["reference"])
(outcome,) = grade_sql(grader, [Answer(given["query"])])
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
print(json.dumps({"outcome": outcome.model_dump(), "grown": grown}))
"""


@pytest.mark.parametrize(
    ("fixture", "reference", "query", "said"),
    [
        ("CREATE TABLE t (x);", "SELECT 1", WIDE, None),
        ("CREATE TABLE t (x);", WIDE, "SELECT 1", "the reference query fails: its rows take more than 10 MB"),
        (
            FILLS,
            "SELECT 1",
            "SELECT 1",
            "builds a database of more than 10 MB; make it with fewer or shorter",
        ),
        (FILLS.replace("TABLE", "TEMP TABLE"), "SELECT 1", "SELECT 1", "a database of more than 10 MB"),
        (KEEPS, "SELECT 1", "SELECT 1", "not authorized"),
    ],
    ids=["query", "reference", "fixture", "temporary table", "savepoints"],
)
def test_what_is_too_large_ends_in_a_sentence_and_takes_little_memory(fixture, reference, query, said):
    given = json.dumps({"fixture": fixture, "reference": reference, "query": query})
    ran = subprocess.run(
        [sys.executable, "-c", GRADED_ALONE], input=given, capture_output=True, text=True, check=True
    )
    found = json.loads(ran.stdout)
    assert found["grown"] < 10 * MOST_BYTES
    if said is None:
        assert found["outcome"]["value"] == 0, "an answer that returns too much is a wrong answer"
    else:
        assert said in found["outcome"]["why"]


def test_a_fixture_that_grows_too_large_is_named_before_anything_is_graded():
    (problem,) = check(Sql(name="s", fixture=FILLS, reference="SELECT 1"))
    assert problem.where == "grader.fixture"
    assert "more than 10 MB" in problem.what
