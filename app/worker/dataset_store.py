"""Datasets by identity, each a folder with the original, its rows in one form, the split and the summary."""

import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from app.datasets import generated, kept
from app.datasets.formats import summarise
from app.datasets.gathering import shown, whole
from app.datasets.identity import dataset_identity
from app.datasets.profiling import Whole, looked_through
from app.datasets.splitting import USUAL_ITEMS, held_out_rows
from app.datasets.task import Task
from app.errors import Conflict, NotFound
from app.protocol import (
    BroughtFile,
    DatasetOrder,
    DatasetRef,
    DatasetSummary,
    FetchOrder,
    GeneratedDataset,
    HeldOut,
    HubDataset,
    Look,
    Profile,
    Reading,
    RepairReport,
    RowsPage,
    UploadedDataset,
)
from app.run_dir import write_durably
from app.settings import WorkerSettings
from app.worker.brought_files import BroughtFiles
from app.worker.data_dir import DataDir
from app.worker.fetching import fetch
from app.worker.reading_child import limits, refuse, run_reader
from app.worker.tokenizers import FoundTokenizer

FETCHED_ROWS = "rows.jsonl"
"""As `app.engine.fetch` leaves them."""

SHA256 = re.compile(r"[0-9a-f]{64}")


class DatasetStore:
    def __init__(self, data_dir: DataDir, settings: WorkerSettings) -> None:
        self._folder = data_dir.datasets
        self.settings = settings
        self.brought = BroughtFiles(data_dir.brought, data_dir.files, settings.max_upload_bytes)

    # What is there

    def find(self, sha256: str) -> Path | None:
        """The file of its rows; None for whatever is not the identity of a dataset here."""
        if not SHA256.fullmatch(sha256):
            return None
        # Before readings were kept, a dataset was its original alone.
        candidates = (self._folder / sha256 / kept.CANONICAL, self._folder / f"{sha256}.jsonl")
        return next((path for path in candidates if path.is_file()), None)

    def summary(self, ref: DatasetRef) -> DatasetSummary | None:
        if isinstance(ref, GeneratedDataset):
            return generated_summary(ref.name)
        if not (found := self.find(ref.sha256)):
            return None
        return DatasetSummary.model_validate_json(self._summary_file(ref.sha256, found).read_bytes())

    def uploads(self) -> list[DatasetSummary]:
        names = {path.name.removesuffix(".jsonl") for path in self._folder.iterdir()}
        found = (self.summary(UploadedDataset(sha256=name)) for name in sorted(names) if self.find(name))
        return [summary for summary in found if summary]

    def page(self, sha256: str, offset: int, limit: int, is_whole: bool = False) -> RowsPage:
        folder = self._kept_folder(sha256)
        order, lines = kept.order_of(folder), kept.lines_of(folder)
        held_out = held_out_rows(order, USUAL_ITEMS)
        rows = kept.page(folder, offset, limit)
        numbers = range(offset, offset + len(rows))
        return RowsPage(
            total=order.rows,
            offset=offset,
            rows=[whole(row) if is_whole else shown(row) for row in rows],
            lines=[lines[number] for number in numbers],
            held_out=[number in held_out for number in numbers],
        )

    def held_out(self, sha256: str, items: int) -> HeldOut:
        folder = self._kept_folder(sha256)
        order, lines = kept.order_of(folder), kept.lines_of(folder)
        rows = sorted(held_out_rows(order, items))
        return HeldOut(items=items, rows=rows, lines=[lines[row] for row in rows], sha256=order.sha256)

    def delete(self, sha256: str) -> None:
        found = self.find(sha256)
        if found and found.name == kept.CANONICAL:
            gone = Path(tempfile.mkdtemp(prefix=".gone-", dir=self._folder))
            found.parent.replace(gone / "dataset")
            shutil.rmtree(gone, ignore_errors=True)
        elif found:
            found.unlink()
            self._summary_file(sha256, found).unlink(missing_ok=True)

    def _kept_folder(self, sha256: str) -> Path:
        found = self.find(sha256)
        if not found or found.name != kept.CANONICAL:
            raise NotFound("There is no such dataset on this worker; upload it again.")
        return found.parent

    def _summary_file(self, sha256: str, found: Path) -> Path:
        if found.name == kept.CANONICAL:
            return found.parent / kept.SUMMARY
        return self._folder / f"{sha256}.summary.json"

    # What comes in

    async def receive(
        self, sha256: str, body: AsyncIterator[bytes], tokenizer: FoundTokenizer | None
    ) -> DatasetSummary:
        """A file that its own bytes and field names explain."""
        await self.brought.receive(sha256, body, sha256[:12], "")
        return await run_in_threadpool(self.read, DatasetOrder(file=sha256), tokenizer)

    def fetch(self, wanted: HubDataset) -> BroughtFile:
        """From the hub; the commit that it was taken from is part of what is told."""
        with self._making() as folder:
            most = self.settings.max_upload_bytes
            order = FetchOrder(
                dataset=wanted, folder=str(folder), max_bytes=most, max_rows=self.settings.max_rows
            )
            commit = fetch(order, self.settings, "id").commit
            parts = [wanted.id, wanted.config, wanted.split]
            words = f"{' / '.join(part for part in parts if part)} of the Hugging Face hub at commit {commit}"
            return self.brought.adopt(folder / FETCHED_ROWS, wanted.id.rpartition("/")[2], words)

    def look(self, sha256: str, reading: Reading) -> Look:
        path, file = self.brought.find(sha256)
        with self._making() as folder:
            task = self._task(folder, reading=reading, file=file)
            stopped = run_reader("look", path, task)
            if stopped:
                return Look(file=file, problem=stopped)
            return Look.model_validate_json((folder / kept.LOOK).read_bytes())

    def read(self, order: DatasetOrder, tokenizer: FoundTokenizer | None) -> DatasetSummary:
        """Raises InvalidInput with every problem by line, and keeps nothing, unless every row can be used."""
        path, file = self.brought.find(order.file)
        if order.mend:
            return self._read_repaired(path, file.sha256, file, order.reading, tokenizer)
        return self._read(path, file, order.reading, tokenizer)

    def repair(self, sha256: str, tokenizer: FoundTokenizer | None) -> DatasetSummary:
        """A new dataset; Conflict where there is nothing to repair."""
        folder = self._kept_folder(sha256)
        summary = self.summary(UploadedDataset(sha256=sha256))
        assert summary is not None
        source = BroughtFile(
            sha256=summary.file_sha256 or sha256, bytes=summary.bytes, name="", source=summary.source
        )
        reading = summary.reading or Reading()
        return self._read_repaired(folder / kept.ORIGINAL, sha256, source, reading, tokenizer)

    def profile(self, sha256: str, tokenizer: FoundTokenizer | None) -> DatasetSummary:
        """The same dataset, its tokens counted by another tokenizer."""
        there = self._kept_folder(sha256)
        with self._making() as folder:
            for name in (kept.CANONICAL, kept.LINES, kept.SPLIT, kept.SUMMARY):
                shutil.copyfile(there / name, folder / name)
            refuse(run_reader("profile", there / kept.CANONICAL, self._task(folder, tokenizer)))
            write_durably(there / kept.SUMMARY, (folder / kept.SUMMARY).read_bytes())
        return DatasetSummary.model_validate_json((there / kept.SUMMARY).read_bytes())

    def _read_repaired(
        self,
        path: Path,
        of: str,
        source: BroughtFile,
        reading: Reading,
        tokenizer: FoundTokenizer | None,
    ) -> DatasetSummary:
        with self._making() as folder:
            task = self._task(folder, reading=reading, ref=UploadedDataset(sha256=of))
            refuse(run_reader("repair", path, task))
            report = RepairReport.model_validate_json((folder / kept.REPORT).read_bytes())
            if not report.left_out + report.changed:
                raise Conflict("There is nothing in this dataset that a repaired copy would change.")
            words = f"a repaired copy of {source.source or source.sha256[:12]}"
            copy = self.brought.adopt(folder / kept.REPAIRED, source.name, words)
        return self._read(self.brought.find(copy.sha256)[0], copy, Reading(), tokenizer, report)

    def _read(
        self,
        path: Path,
        file: BroughtFile,
        reading: Reading,
        tokenizer: FoundTokenizer | None,
        report: RepairReport | None = None,
    ) -> DatasetSummary:
        ref = UploadedDataset(sha256=dataset_identity(file.sha256, reading))
        there = self._folder / ref.sha256
        if (summary := self.summary(ref)) and there.is_dir():
            return summary
        with self._making() as folder:
            stopped = run_reader("read", path, self._task(folder, tokenizer, reading, file, ref))
            if not (folder / kept.SUMMARY).exists():
                refuse(stopped or "its reader left nothing behind")
            summary = _completed(folder, file, report, stopped)
            _link(path, folder / kept.ORIGINAL)
            self._publish(folder, there)
        return summary

    def _task(
        self,
        folder: Path,
        tokenizer: FoundTokenizer | None = None,
        reading: Reading = Reading(),  # noqa: B008 # frozen
        file: BroughtFile | None = None,
        ref: UploadedDataset | None = None,
    ) -> Task:
        return Task(
            limits=limits(self.settings),
            folder=folder,
            reading=reading,
            file=file,
            ref=ref,
            tokenizer=tokenizer.file if tokenizer else None,
            tokenizer_name=tokenizer.name if tokenizer else "",
            context=tokenizer.context if tokenizer else None,
        )

    @contextmanager
    def _making(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(prefix=".making-", dir=self._folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, folder: Path, there: Path) -> None:
        """At once or not at all; whoever came first with the same dataset stays."""
        for name in (kept.CANONICAL, kept.LINES, kept.SPLIT, kept.SUMMARY):
            with (folder / name).open("rb") as file:
                os.fsync(file.fileno())
        try:
            folder.replace(there)
        except OSError:
            if not there.is_dir():
                raise
        (self._folder / f"{there.name}.jsonl").unlink(missing_ok=True)


def _completed(
    folder: Path, file: BroughtFile, report: RepairReport | None, stopped: str | None
) -> DatasetSummary:
    summary = DatasetSummary.model_validate_json((folder / kept.SUMMARY).read_bytes())
    told = summary.model_copy(
        update={
            "source": file.source,
            "file_sha256": file.sha256,
            "repair": report,
            "no_profile": f"There is no profile of it: {stopped}." if stopped else None,
        }
    )
    (folder / kept.SUMMARY).write_text(told.model_dump_json())
    return told


def _link(path: Path, to: Path) -> None:
    try:
        os.link(path, to)
    except OSError:
        shutil.copyfile(path, to)


@lru_cache(maxsize=8)
def generated_summary(name: str) -> DatasetSummary:
    made = generated.generate(name)
    ref = GeneratedDataset.model_validate({"name": name})
    return summarise(ref, made.train, bytes=0, held_out=len(made.held_out))


@lru_cache(maxsize=8)
def generated_profile(name: str, tokenizer: FoundTokenizer | None) -> Profile:
    made = generated.generate(name)
    rows = [*made.train, *made.held_out]
    held_out = set(range(len(made.train), len(rows)))
    whole = Whole(rows, len(rows), held_out, range(1, len(rows) + 1), is_given=True)
    if tokenizer is None:
        return looked_through(whole, None, "", None)
    return looked_through(whole, tokenizer.file, tokenizer.name, tokenizer.context)


def generated_page(name: str, offset: int, limit: int, is_whole: bool = False) -> RowsPage:
    made = generated.generate(name)
    rows = [*made.train, *made.held_out]
    numbers = range(offset, min(offset + limit, len(rows)))
    return RowsPage(
        total=len(rows),
        offset=offset,
        rows=[whole(rows[number]) if is_whole else shown(rows[number]) for number in numbers],
        lines=[number + 1 for number in numbers],
        held_out=[number >= len(made.train) for number in numbers],
    )
