"""The list of stored graders that other forms choose from."""

from app.models import NamedGrader
from app.protocol import Regex
from app.web.grader_choices import grader_choices
from tests.web.conftest import parts_of


def test_the_newest_version_of_each_comes_first(app):
    with parts_of(app).database.writing() as session, session.begin():
        for name, version in (("b", 1), ("a", 1), ("a", 10), ("a", 9), ("b", 2)):
            spec = Regex(name=name, pattern=f"v{version}")
            session.add(NamedGrader(name=name, version=version, spec=spec))
    with parts_of(app).database.reading() as session:
        choices = grader_choices(session)
    assert [label for _, label, _ in choices] == [
        "a, version 10",
        "b, version 2",
        "a, version 9",
        "a, version 1",
        "b, version 1",
    ]
    assert len({value for value, _, _ in choices}) == 5
    assert choices[0][2] == Regex(name="a", pattern="v10")
