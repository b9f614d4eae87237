"""Confirmed decisions in the terminal: how often the advice held, and its history as calibration cases."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from app.errors import Malformed
from app.remote import Remote

confirmations = typer.Typer(
    no_args_is_help=True,
    help="What full runs showed. TUNING_FORK_KEY holds the key, TUNING_FORK_URL the address.",
)
out = Console()

PAGE = 200

AsJson = Annotated[bool, typer.Option("--json", help="Print the API's own answer.")]


@confirmations.command("list")
def list_confirmations(as_json: AsJson = False) -> None:
    """All confirmed decisions, newest first."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        asked = {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
        page = Remote().ask("GET", "/confirmations", params=asked)
        found, cursor = found + page["items"], page["next"]
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    for one in found:
        out.print(f"{one['name']}, recommendation {one['number']}", style="bold", markup=False)
        out.print(f"  {one['sentence']}", markup=False, highlight=False)


@confirmations.command("summary")
def show_summary(as_json: AsJson = False) -> None:
    """How often the advice held."""
    told = Remote().ask("GET", "/confirmations/summary")
    if as_json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    table = Table(Column("decisions", no_wrap=True), "held", "not shown", "did not hold", "95 % interval")
    for each in (told["all"], *told["by_band"], *told["by_rung"], told["overrides"]):
        reach = f"{each['low']:.0%} to {each['high']:.0%}" if each["n"] else ""
        counts = (str(each["not_shown"]), str(each["did_not_hold"]))
        table.add_row(each["title"], each["words"], *counts, reach)
    out.print(table)
    out.print(told["rule"], highlight=False)


@confirmations.command("export")
def export_cases(
    file: Annotated[Path | None, typer.Argument(help="Where to write; standard output without one.")] = None,
    names: Annotated[bool, typer.Option("--names", help="With the assessments' names.")] = False,
    notes: Annotated[bool, typer.Option("--notes", help="With the notes beside the answers.")] = False,
) -> None:
    """Answers and outcomes as calibration cases, for `benchmarks/calibration.py --also FILE`."""
    told = Remote().ask("GET", "/confirmations/cases", params={"names": names, "notes": notes})
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    if file is None:
        sys.stdout.write(text)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Malformed(f"{file} cannot be written: {error.strerror}.") from None
    out.print(f"{len(told['cases'])} cases written to {file}.", markup=False, highlight=False)
