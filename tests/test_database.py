"""The tables exist on both engines, come and go with migrations, and keep what they are given."""

import re
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import inspect
from sqlalchemy.exc import IntegrityError

from app.database import Base, Database
from app.models import ApiKey, Assessment, Report, Run, StoredAnswer
from app.protocol import LogEvent, RunSpec, RunState, StarterModel, StarterRecipe
from tests.conftest import migrate

SPEC = RunSpec(name="The starter model", model=StarterModel(), recipe=StarterRecipe())


@pytest.fixture
def database(database_url):
    database = Database(database_url)
    yield database
    database.close()


def test_migrations_make_exactly_the_tables_that_the_models_describe(database):
    config = Config(toml_file="pyproject.toml")
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.check(config)


def test_migrations_go_down_to_nothing_and_up_again(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    migrate(database)
    migrate(database, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    migrate(database)
    assert {table.name for table in Base.metadata.sorted_tables} < set(
        inspect(database.engine).get_table_names()
    )
    database.close()


def test_versions_do_not_import_the_app():
    for version in Path("alembic/versions").glob("*.py"):
        assert not re.search(r"^\s*(from|import) app", version.read_text(), re.MULTILINE), version


def test_a_run_comes_back_with_its_spec_its_state_and_its_time_zone(database):
    run_id = uuid4()
    elsewhere = timezone(timedelta(hours=2))
    with database.writing() as session:
        session.add(Run(id=run_id, spec=SPEC, started_at=datetime(2026, 1, 1, 2, 0, tzinfo=elsewhere)))
        session.commit()
    with database.reading() as session:
        run = session.get_one(Run, run_id)
        assert run.spec == SPEC
        assert run.state is RunState.REQUESTED
        assert run.started_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_states_are_stored_under_the_words_that_users_see(database):
    run_id = uuid4()
    with database.writing() as session:
        session.add(Run(id=run_id, spec=SPEC, state=RunState.SUCCEEDED))
        session.commit()
        stored = session.connection().exec_driver_sql("SELECT state FROM runs").scalar_one()
    assert stored == "succeeded"


def test_the_same_event_cannot_be_kept_twice(database):
    run_id = uuid4()
    with database.writing() as session:
        session.add(Run(id=run_id, spec=SPEC))
        session.flush()
        session.add(Report(run_id=run_id, seq=1, at=0.0, kind="log", what=LogEvent(line="one")))
        session.commit()
    with database.writing() as session:
        session.add(Report(run_id=run_id, seq=1, at=0.0, kind="log", what=LogEvent(line="two")))
        with pytest.raises(IntegrityError):
            session.commit()


def test_deleting_an_assessment_takes_its_answers_and_leaves_its_runs(database):
    assessment_id, run_id = uuid4(), uuid4()
    with database.writing() as session:
        session.add(Assessment(id=assessment_id, name="Legal", rulebook_version="1.0.0"))
        session.flush()
        session.add(StoredAnswer(assessment_id=assessment_id, question="O1", answer="format"))
        session.add(Run(id=run_id, spec=SPEC, assessment_id=assessment_id))
        session.commit()
    with database.writing() as session:
        session.delete(session.get_one(Assessment, assessment_id))
        session.commit()
    with database.reading() as session:
        assert session.query(StoredAnswer).count() == 0
        assert session.get_one(Run, run_id).assessment_id is None


def test_an_answer_that_is_unknown_comes_back_as_unknown(database):
    assessment = Assessment(name="Legal", rulebook_version="1.0.0")
    assessment.answers = [
        StoredAnswer(question="O1", answer=None),
        StoredAnswer(question="C1", answer={"gpus": 2}),
    ]
    with database.writing() as session:
        session.add(assessment)
        session.commit()
    with database.reading() as session:
        answers = {row.question: row.answer for row in session.get_one(Assessment, assessment.id).answers}
    assert answers == {"O1": None, "C1": {"gpus": 2}}


def test_eight_writers_that_read_before_they_write_lose_nothing(database):
    """SQLite loses this race with a plain BEGIN: a read lock cannot always be upgraded."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with database.writing() as session:
        session.add(ApiKey(id="counter0", name="0", hash="-", created_at=now, expires_at=now))
        session.commit()
    failures: list[BaseException] = []

    def count() -> None:
        try:
            for _ in range(20):
                with database.writing() as session:
                    row = session.get_one(ApiKey, "counter0", with_for_update=True)
                    row.name = str(int(row.name) + 1)
                    session.commit()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.reading() as session:
        assert session.get_one(ApiKey, "counter0").name == "160"
