"""Runs in the terminal, through the REST API of a Tuning Fork that may be elsewhere."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from app.errors import Malformed
from app.remote import Remote
from app.strict_json import strict_loads

FAILED = 4
"""Exit status of `follow` for a run that did not succeed."""

runs = typer.Typer(
    no_args_is_help=True,
    help="Runs over the REST API. TUNING_FORK_KEY holds the key, TUNING_FORK_URL the address.",
)
out = Console()

RunId = Annotated[UUID, typer.Argument(metavar="ID", help="The run's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's own answer.")]


@runs.command("list")
def list_runs(limit: Annotated[int, typer.Option(min=1, max=200)] = 50, as_json: AsJson = False) -> None:
    """All runs, newest first."""
    page = Remote().ask("GET", "/runs", params={"limit": limit})
    if as_json:
        _print_json(page)
        return
    table = Table(
        Column("id", no_wrap=True, min_width=36),
        "name",
        "kind",
        Column("state", no_wrap=True),
        Column("step", no_wrap=True),
    )
    for run in page["items"]:
        table.add_row(run["id"], escape(run["name"]), run["kind"], run["words"], _steps(run))
    out.print(table)


@runs.command("show")
def show_run(run_id: RunId, as_json: AsJson = False) -> None:
    """Where a run stands, and before against after."""
    run = Remote().ask("GET", f"/runs/{run_id}")
    if as_json:
        _print_json(run)
        return
    out.print(f"[bold]{escape(run['name'])}[/] ({run['kind']}): {run['words']}", highlight=False)
    if run["detail"]:
        out.print(run["detail"], markup=False, highlight=False)
    out.print(f"Step {_steps(run)}")
    for when in ("before", "after"):
        if run[when]:
            out.print(
                f"{when.capitalize()}: {_share(run[when]['sampled'])}, greedy {_share(run[when]['greedy'])}"
            )
    if run["probe"]:
        _print_probe(run["probe"])
    if run["comparison"]:
        out.print(
            f"Change {run['comparison']['sampled_gain']:+.1%}, p = {run['comparison']['sampled_p']:.2g}"
        )


@runs.command("launch")
def launch_run(
    file: Annotated[
        Path, typer.Argument(help='JSON: a run spec, or {"plan": [...]}; - reads standard input.')
    ],
    key: Annotated[str | None, typer.Option("--idempotency-key", help="The same key launches once.")] = None,
) -> None:
    """Launch a run or a plan, and print the ids."""
    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Malformed(f"{file} cannot be read: {error.strerror}.") from None
    headers = {"Idempotency-Key": key} if key else {}
    for run in Remote().ask("POST", "/runs", json=strict_loads(body), headers=headers)["runs"]:
        sys.stdout.write(f"{run['id']}\n")


@runs.command("cancel")
def cancel_run(run_id: RunId) -> None:
    """Ask a run to stop."""
    out.print(Remote().ask("POST", f"/runs/{run_id}/cancel")["words"])


@runs.command("pause")
def pause_run(run_id: RunId) -> None:
    """Ask a run to save a checkpoint and stop; `resume` goes on from it."""
    out.print(Remote().ask("POST", f"/runs/{run_id}/pause")["words"])


@runs.command("resume")
def resume_run(
    run_id: RunId,
    limits: Annotated[
        str | None, typer.Option(help='New limits as JSON, such as {"minutes": 60}; they replace the old.')
    ] = None,
) -> None:
    """Go on with a paused run."""
    wanted = {"limits": strict_loads(limits.encode())} if limits else {}
    out.print(Remote().ask("POST", f"/runs/{run_id}/resume", json=wanted)["words"])


@runs.command("retry")
def retry_run(run_id: RunId) -> None:
    """Try a failed or cancelled run again, from its newest sound checkpoint; prints the new id."""
    sys.stdout.write(f"{Remote().ask('POST', f'/runs/{run_id}/retry')['id']}\n")


@runs.command("priority")
def prioritize_run(
    run_id: RunId,
    priority: Annotated[int, typer.Argument(min=-1, max=1, help="1 before others, -1 after them.")],
) -> None:
    """Let a run that waits go before or after others. Write `-- ID -1` for after."""
    Remote().ask("POST", f"/runs/{run_id}/priority", json={"priority": priority})


@runs.command("follow")
def follow_run(run_id: RunId) -> None:
    """Print what happens until the run ends. Exit status: 0 succeeded, 4 failed or cancelled."""
    said, state = "", ""
    for event, content in Remote().follow(run_id):
        if event == "status":
            state = content["state"]
            line = " ".join(filter(None, (content["words"], content["detail"])))
            if line != said:
                out.print(line, markup=False, highlight=False)
            said = line
        else:
            _print_event(event, content.get("what", content))
    if state != "succeeded":
        raise typer.Exit(FAILED)


def _print_event(event: str, what: dict[str, Any]) -> None:
    match event:
        case "metric":
            values = ", ".join(f"{k} {v:.4g}" for k, v in what["values"].items() if v is not None)
            out.print(f"  step {what['step']} of {what['total_steps']}: {values}", highlight=False)
        case "health":
            out.print(f"  {what['sentence']}", style="yellow", markup=False)
        case "evaluation":
            share = what["evaluation"]
            out.print(f"  measured {share['when']} training: {_share(share['sampled'])}", highlight=False)
        case "probe":
            _print_probe(what["report"])
        case "worker" if what["away"]:
            out.print(f"  {what['away']}", style="yellow", markup=False)
        case "end" if what.get("reason"):
            out.print(f"  {what['reason']}", markup=False)


def _print_probe(report: dict[str, Any]) -> None:
    out.print(f"Probed: {_share(report['passed'])}", highlight=False)
    for dead in report["dead"]:
        how = "" if dead["is_measured"] else ", expected"
        out.print(f"  groups of {dead['group']}: {dead['share']:.0%} dead{how}", highlight=False)


def _steps(run: dict[str, Any]) -> str:
    return f"{run['step']} of {run['total_steps']}" if run["total_steps"] else str(run["step"])


def _share(share: dict[str, Any]) -> str:
    low, high = share["interval"]["low"], share["interval"]["high"]
    return f"{share['right']} of {share['n']} right ({low:.1%} to {high:.1%})"


def _print_json(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
