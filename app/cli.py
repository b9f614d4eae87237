"""The command line: serving on this machine, links and keys, advice from a file, runs over the REST API.

A command imports the web itself, where it needs it: that takes seconds, and most do without.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app import __version__, logs
from app.cli_advice import advise, template
from app.cli_confirmations import confirmations
from app.cli_datasets import datasets
from app.cli_runs import runs
from app.errors import InvalidInput, Malformed, Problem, TuningForkError
from app.http_json import problems_of
from app.http_server import listen, serve, stop_when_input_ends
from app.protocol import Name
from app.settings import WebSettings, WorkerSettings

if TYPE_CHECKING:
    from app.database import Database

BAD_INPUT = 2

MOST_DAYS = 36_500
"""For which a key can be made valid."""
DAYS = f"give a number above 0, and {MOST_DAYS:,} at most"

out = Console()
complaints = Console(stderr=True)


commands = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="SFT or GRPO? Advice with evidence, and the training run that follows from it.",
)
keys = typer.Typer(no_args_is_help=True, help="API keys for programs.")
commands.add_typer(keys, name="key")
commands.add_typer(runs, name="runs")
commands.add_typer(datasets, name="datasets")
commands.add_typer(confirmations, name="confirmations")
commands.command("recommend")(advise)
commands.command("questionnaire")(template)


@commands.callback(invoke_without_command=True)
def versions(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@commands.command("up")
def start_both() -> None:
    """Serve web and worker together on this machine."""
    from app.up import up

    up(out)


@commands.command()
def web() -> None:
    """Serve the web alone; the worker runs elsewhere."""
    from app.main import check_access, create_app
    from app.up import greet, prepare_data_dir, prepare_database

    settings = WebSettings()
    check_access(settings)
    listener = listen(settings.host, settings.port, "TUNING_FORK_WEB_PORT")
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    prepare_data_dir(settings.data_dir)
    logs.configure(settings.log_level)
    database = prepare_database(out, settings)
    app = create_app(settings)
    greet(out, settings, database)
    database.close()
    serve(app, listener, app.state.parts.stopping.set)


@commands.command()
def worker(
    until_input_ends: Annotated[
        bool, typer.Option(hidden=True, help="Stop when standard input ends.")
    ] = False,
) -> None:
    """Serve the worker, which trains."""
    if until_input_ends:
        stop_when_input_ends()
    # The web is installed without what only the worker needs.
    from app.worker.main import create_app as create_worker

    settings = WorkerSettings()
    listener = listen(settings.host, settings.port, "TUNING_FORK_WORKER_PORT")
    logs.configure(settings.log_level)
    serve(create_worker(settings), listener)


@commands.command("migrate")
def bring_up_to_date() -> None:
    """Bring the database up to date; SQLite is copied first."""
    from app.up import prepare_data_dir, prepare_database

    settings = WebSettings()
    prepare_data_dir(settings.data_dir)
    prepare_database(out, settings).close()
    out.print("The database is up to date.")


@commands.command("login-link")
def print_login_link() -> None:
    """Print a link that signs in one browser, once."""
    from app.up import login_link

    settings = WebSettings()
    with _database(settings) as database:
        out.print(login_link(settings, database), soft_wrap=True, highlight=False)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    days: Annotated[float | None, typer.Option(help="Valid for so many days.")] = None,
) -> None:
    """Make a key and print it, this once."""
    from app.web import security

    settings = WebSettings()
    name, valid = _key_name(name), settings.api_key_days if days is None else days
    if not 0 < valid <= MOST_DAYS:
        raise InvalidInput("The key cannot be made.", (Problem(where="--days", what=DAYS),))
    with _database(settings) as database, database.writing() as session, session.begin():
        _, key = security.new_key(session, name, valid)
    complaints.print("Keep this key; it is not shown again. Send it as `Authorization: Bearer …`.")
    sys.stdout.write(f"{key}\n")


def _key_name(given: str) -> str:
    try:
        return TypeAdapter(Name).validate_python(given)
    except ValidationError as error:
        problems = tuple(Problem(where="NAME", what=problem.what) for problem in problems_of(error.errors()))
        raise InvalidInput("The key cannot be made.", problems) from None


@keys.command("list")
def list_keys() -> None:
    """Show all keys, without their secrets."""
    from sqlalchemy import select

    from app.models import ApiKey
    from app.web import security

    table = Table("id", "name", "made", "expires", "last used", "state")
    with _database(WebSettings()) as database, database.reading() as session:
        for key in session.scalars(select(ApiKey).order_by(ApiKey.created_at)):
            used = f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never"
            made, expires = f"{key.created_at:%Y-%m-%d}", f"{key.expires_at:%Y-%m-%d}"
            table.add_row(key.id, escape(key.name), made, expires, used, security.state_of(key))
    out.print(table)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's eight characters.")],
) -> None:
    """End a key at once."""
    from app.web import security

    with _database(WebSettings()) as database, database.writing() as session, session.begin():
        name = security.revoke_key(session, key_id).name
    out.print(f"Revoked {key_id} ({name}).", markup=False)


@contextmanager
def _database(settings: WebSettings) -> "Iterator[Database]":
    from app.up import prepare_data_dir, prepare_database

    prepare_data_dir(settings.data_dir)
    database = prepare_database(complaints, settings)
    try:
        yield database
    finally:
        database.close()


def cli(arguments: list[str] | None = None) -> None:
    """Failures are told in our words, without a traceback."""
    # What is said must be seen at once, also in a pipe; what is written is the owner's alone.
    os.umask(0o077)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    try:
        _refuse_unknown_variables()
        commands(arguments)
    except TuningForkError as error:
        untold = (problem for problem in error.problems if problem.what not in error.sentence)
        _complain(error.sentence, ((problem.where, problem.what) for problem in untold))
        sys.exit(BAD_INPUT if isinstance(error, InvalidInput | Malformed) else 1)
    except ValidationError as error:
        told = error.errors(include_input=False, include_context=False)
        _complain("A setting cannot be used.", ((_variable(error, c["loc"]), c["msg"]) for c in told))
        sys.exit(BAD_INPUT)


def _refuse_unknown_variables() -> None:
    """A mistyped setting would otherwise be a setting that silently does nothing."""
    known = {
        f"{settings.model_config['env_prefix']}{name.upper()}"
        for settings in (WebSettings, WorkerSettings)
        for name in settings.model_fields
    }
    given = [name for name in os.environ if name.startswith(("TUNING_FORK_WEB_", "TUNING_FORK_WORKER_"))]
    problems = tuple(
        Problem(where=name, what="there is no such setting") for name in given if name not in known
    )
    if problems:
        raise InvalidInput("The environment holds settings that do not exist.", problems)


def _variable(error: ValidationError, place: tuple[int | str, ...]) -> str:
    prefix = {"WebSettings": "TUNING_FORK_WEB_", "WorkerSettings": "TUNING_FORK_WORKER_"}.get(error.title, "")
    return prefix + ".".join(map(str, place)).upper()


def _complain(sentence: str, problems: Iterable[tuple[str, str]]) -> None:
    complaints.print(sentence, style="bold", markup=False, highlight=False)
    for where, what in problems:
        complaints.print(f"  {where}: {what}", markup=False, highlight=False)


if __name__ == "__main__":
    cli()
