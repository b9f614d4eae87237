"""A folder as one zip, made while it is sent: never whole in memory, never on disk."""

import stat
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

CHUNK_BYTES = 1 << 20

File = tuple[str, Path]
"""Its name within the folder, and where it lies."""


def files_under(folder: Path) -> list[File]:
    """Regular files only: a link could lead anywhere."""
    if not folder.is_dir():
        return []
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return [(path.relative_to(folder).as_posix(), path) for path in found]


def zipped(files: list[File], under: str) -> Iterator[bytes]:
    """Stored, not compressed: weights do not get smaller, and the server's time is better spent."""
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", allowZip64=True) as archive:  # type: ignore[call-overload]  # it only writes
        for name, path in files:
            entry = zipfile.ZipInfo(f"{under}/{name}", time.gmtime(path.stat().st_mtime)[:6])
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while chunk := source.read(CHUNK_BYTES):
                    target.write(chunk)
                    yield outlet.taken()
    yield outlet.taken()


class _Outlet:
    """Written to and read from at once. It cannot seek, and zip knows how to do without."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, chunk: bytes) -> int:
        self._chunks.append(bytes(chunk))
        return len(chunk)

    def flush(self) -> None:
        pass

    def taken(self) -> bytes:
        chunks, self._chunks = self._chunks, []
        return b"".join(chunks)
