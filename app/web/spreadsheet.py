"""Tables for a spreadsheet: no cell is a formula to it."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

from fastapi import Response

from app.web.comparing import harmless


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
