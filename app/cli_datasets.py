"""Datasets in the terminal, through the REST API of a Tuning Fork that may be elsewhere."""

import base64
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Column, Table

from app.errors import Conflict, Malformed, Unavailable
from app.remote import PATIENT, Remote

PART = 4 << 20
TUS = {"Tus-Resumable": "1.0.0"}
PATIENCE_SECONDS = 600.0
"""For a connection to come back, before an upload is given up."""
LONGEST_PAUSE = 30.0

datasets = typer.Typer(
    no_args_is_help=True,
    help="Datasets over the REST API. TUNING_FORK_KEY holds the key, TUNING_FORK_URL the address.",
)
out = Console()
complaints = Console(stderr=True)

DatasetId = Annotated[UUID, typer.Argument(metavar="ID", help="The dataset's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's own answer.")]
ColumnName = Annotated[str | None, typer.Option(help="The column that holds it.")]


@datasets.command("list")
def list_datasets(limit: Annotated[int, typer.Option(min=1, max=200)] = 50, as_json: AsJson = False) -> None:
    """All datasets that were brought, newest first."""
    page = Remote().ask("GET", "/datasets", params={"limit": limit})
    if as_json:
        _print_json(page)
        return
    table = Table(Column("id", no_wrap=True, min_width=36), "name", "kind", "rows", "to look at")
    for each in page["items"]:
        summary = each["summary"]
        findings = len(summary["profile"]["findings"]) if summary["profile"] else ""
        table.add_row(
            each["id"], escape(each["name"]), summary["kind"], f"{summary['rows']:,}", str(findings)
        )
    out.print(table)


@datasets.command("upload")
def upload(
    file: Annotated[Path, typer.Argument(help="JSON lines, CSV or Parquet.")],
    name: Annotated[str | None, typer.Option(help="How it is shown; the file's own name.")] = None,
    prompt: ColumnName = None,
    answer: ColumnName = None,
    messages: ColumnName = None,
    chosen: ColumnName = None,
    rejected: ColumnName = None,
    text: ColumnName = None,
    mend: Annotated[bool, typer.Option(help="Leave out or mend rows that cannot be used.")] = False,
) -> None:
    """Upload a file, over lost connections, and print the dataset's id."""
    named = {"prompt": prompt, "answer": answer, "messages": messages}
    named |= {"chosen": chosen, "rejected": rejected, "text": text}
    columns = {part: column for part, column in named.items() if column}
    remote = Remote()
    order: dict[str, Any] = {
        "name": name or file.stem,
        "source": {"kind": "upload", "id": sent(remote, file).rpartition("/")[2]},
        "mend": mend,
    }
    if columns:
        order["reading"] = {"columns": columns}
    with complaints.status("Reading and checking every row"):
        made = remote.request("POST", "/datasets/from", PATIENT, json=order).json()
    _print_summary(made, complaints)
    sys.stdout.write(f"{made['id']}\n")


def sent(remote: Remote, file: Path) -> str:
    """The upload's address, once every byte of the file is there."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened, _progress() as progress:
            bar = progress.add_task(escape(file.name), total=size)
            filename = base64.b64encode(file.name.encode()).decode()
            headers = TUS | {"Upload-Length": str(size), "Upload-Metadata": f"filename {filename}"}
            at = remote.request("POST", "/uploads", headers=headers).headers["location"]
            path, offset = at.removeprefix("/api/v1"), 0
            while offset < size:
                opened.seek(offset)
                offset = _part_sent(remote, path, offset, opened.read(PART))
                progress.update(bar, completed=offset)
    except OSError as error:
        raise Malformed(f"{file} cannot be read: {error.strerror}.") from None
    return str(at)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=complaints)


def _part_sent(remote: Remote, path: str, offset: int, part: bytes) -> int:
    """The offset afterwards, which the service tells; after a lost connection it is asked for."""
    headers = TUS | {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    try:
        answer = remote.request("PATCH", path, PATIENT, headers=headers, content=part)
        return int(answer.headers["upload-offset"])
    except (Unavailable, Conflict):
        return _offset_when_back(remote, path)


def _offset_when_back(remote: Remote, path: str) -> int:
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, 0.5
    while True:
        try:
            return int(remote.request("HEAD", path, headers=TUS).headers["upload-offset"])
        except (Unavailable, Conflict):
            if time.monotonic() > deadline:
                raise
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


@datasets.command("show")
def show(dataset_id: DatasetId, as_json: AsJson = False) -> None:
    """What a dataset holds, what it allows, and what to look at."""
    dataset = Remote().ask("GET", f"/datasets/{dataset_id}")
    if as_json:
        _print_json(dataset)
    else:
        _print_summary(dataset, out)


@datasets.command("repair")
def repair(
    dataset_id: DatasetId, name: Annotated[str | None, typer.Option(help="Of the copy.")] = None
) -> None:
    """Make a repaired copy and print its id; the original stays as it is."""
    order = {"name": name} if name else {}
    made = Remote().request("POST", f"/datasets/{dataset_id}/repair", PATIENT, json=order).json()
    report = made["summary"]["repair"]
    for change in report["changes"]:
        complaints.print(f"  line {change['line']}: {change['what']}", markup=False, highlight=False)
    complaints.print(
        f"{report['kept']:,} rows kept, {report['left_out']:,} left out, {report['changed']:,} trimmed.",
        highlight=False,
    )
    sys.stdout.write(f"{made['id']}\n")


def _print_summary(dataset: dict[str, Any], to: Console) -> None:
    summary = dataset["summary"]
    to.print(
        f"[bold]{escape(dataset['name'])}[/]: {summary['rows']:,} rows, {summary['kind']}, "
        f"{summary['held_out']:,} held out",
        highlight=False,
    )
    for each in dataset["allows"]:
        yes = "yes" if each["yes"] else "no"
        to.print(f"  {each['method']}: {yes}. {each['sentence']}", markup=False, highlight=False)
    for each in (summary["profile"] or {}).get("findings", []):
        lines = ", ".join(str(line) for line in each["lines"][:8])
        where = f" (lines {lines})" if lines else ""
        to.print(f"  {each['sentence']}{where} {each['fix']}", markup=False, highlight=False)


def _print_json(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
