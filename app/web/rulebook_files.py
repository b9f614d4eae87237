"""The files of an uploaded rulebook, zipped or single, read into texts within the limits of the settings."""

import zlib
from collections.abc import Iterable, Mapping
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from app.advisor.reading import FILES
from app.errors import InvalidInput, Problem, TooLarge
from app.settings import WebSettings

ENCRYPTED = 0x1


def texts_of(given: Iterable[tuple[str, bytes]], settings: WebSettings) -> dict[str, str]:
    """Raises InvalidInput naming each file that cannot be used, and TooLarge above the settings."""
    files: list[tuple[str, bytes]] = []
    left = settings.max_rulebook_bytes
    for name, body in given:
        packed = name.lower().endswith(".zip")
        unpacked = _unzipped(name, body, left, settings) if packed else [(name, body)]
        left -= sum(len(each) for _, each in unpacked)
        if left < 0:
            raise _too_large(settings)
        files += unpacked
    return _texts(files, settings)


def _texts(files: list[tuple[str, bytes]], settings: WebSettings) -> dict[str, str]:
    if len(files) > settings.max_rulebook_files:
        raise TooLarge(f"These are {len(files)} files; a rulebook has at most {settings.max_rulebook_files}.")
    problems: list[Problem] = []
    texts: dict[str, str] = {}
    for name, body in files:
        if name in texts:
            problems.append(Problem(where=shown(name), what="this file came twice; send it once"))
        elif name not in FILES:
            problems.append(Problem(where=shown(name), what=_strange(name)))
        else:
            texts[name] = _text(name, body, problems)
    if problems:
        raise InvalidInput("These files are not a rulebook; nothing was stored.", tuple(problems))
    return texts


def _text(name: str, body: bytes, problems: list[Problem]) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"byte {error.start + 1} is not UTF-8; save the file as UTF-8"
        problems.append(Problem(where=name, what=what))
        return ""


def shown(name: str) -> str:
    """A name somebody chose, as it may stand on a page or in an answer."""
    return ascii(name)[1:-1][:80] or "a file without a name"


def _strange(name: str) -> str:
    if "/" in name or "\\" in name:
        return "names a folder; pack the files themselves, without the folder around them"
    return f"is not a file of a rulebook; those are {', '.join(FILES)}"


def _unzipped(name: str, body: bytes, most: int, settings: WebSettings) -> list[tuple[str, bytes]]:
    """Counted while it is unpacked: what a zip says about its own sizes is not believed."""
    try:
        with ZipFile(BytesIO(body)) as archive:
            entries = archive.infolist()
            if len(entries) > settings.max_rulebook_files:
                most_files = settings.max_rulebook_files
                raise TooLarge(f"The zip holds {len(entries)} entries; a rulebook has at most {most_files}.")
            files = []
            for entry in entries:
                files.append((entry.filename, _entry(archive, entry, most, settings)))
                most -= len(files[-1][1])
            return files
    except (BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError) as error:
        what = "is not a zip that can be read; pack the files again, or send them one by one"
        raise InvalidInput(
            "The zip cannot be read; nothing was stored.", (Problem(where=shown(name), what=what),)
        ) from error


def _entry(archive: ZipFile, entry: ZipInfo, most: int, settings: WebSettings) -> bytes:
    if entry.flag_bits & ENCRYPTED or entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise BadZipFile("encrypted, or packed in a way that few programs read")
    with archive.open(entry) as file:
        body = file.read(most + 1)
    if len(body) > most:
        raise _too_large(settings)
    return body


def _too_large(settings: WebSettings) -> TooLarge:
    return TooLarge(f"The files are larger than {settings.max_rulebook_bytes:,} bytes together, unpacked.")


def zipped(files: Mapping[str, str]) -> bytes:
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for name in sorted(files):
            # The same date for all, so that the same rulebook gives the same bytes.
            archive.writestr(ZipInfo(name), files[name], ZIP_DEFLATED)
    return packed.getvalue()
