"""Tables for a spreadsheet: no cell is a formula to it."""

import csv
import re
from collections.abc import Iterable, Sequence
from io import StringIO

from fastapi import Response

NUMERIC = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII)


def csv_file(rows: Iterable[Sequence[object]], name: str) -> Response:
    """`name`: of the file, made by us; cells may be anybody's."""
    sheet = StringIO()
    csv.writer(sheet).writerows(
        [harmless(str(cell)) if cell is not None else "" for cell in row] for row in rows
    )
    return Response(
        sheet.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def harmless(cell: str) -> str:
    """A spreadsheet takes what begins with one of these for a formula; numbers may keep their sign."""
    if cell[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") and not NUMERIC.fullmatch(cell):
        return f"'{cell}"
    return cell
