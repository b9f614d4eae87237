"""From a source to a dataset: the worker gets the file, reads and judges it, and we keep what it says."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app import runs
from app.errors import NotFound
from app.models import Dataset
from app.protocol import (
    BroughtFile,
    DatasetOrder,
    DatasetSummary,
    HubDataset,
    Message,
    ProfileOrder,
    Sha256,
    UploadedDataset,
    WorkerFile,
)
from app.web import inspected, uploads
from app.web.deps import Parts
from app.web.uploads import Arrived

LONGEST_NAME = 120


class FinishedUpload(Message):
    """An upload of which every byte is here."""

    kind: Literal["upload"] = "upload"
    id: Annotated[UUID, Field(strict=False)]


class KnownFile(Message):
    """A file that the worker holds since it was looked at."""

    kind: Literal["file"] = "file"
    sha256: Sha256


AnySource = Annotated[HubDataset | WorkerFile | FinishedUpload | KnownFile, Field(discriminator="kind")]


def bring(parts: Parts, source: AnySource) -> BroughtFile:
    """The file on the worker; WorkerAway leaves an upload where it is, to be tried again."""
    match source:
        case FinishedUpload():
            upload = uploads.find(parts.settings, source.id)
            brought = hand_over(parts, uploads.completed(upload), upload.words.filename)
            uploads.remove(upload)
            return brought
        case KnownFile():
            return parts.worker.file(source.sha256)
        case _:
            return parts.worker.bring(source)


def hand_over(parts: Parts, arrived: Arrived, filename: str, source: str = "") -> BroughtFile:
    with arrived.path.open("rb") as content:
        return parts.worker.put_file(
            arrived.sha256, content, plain_name(filename), source or plain_words(filename)
        )


def plain_name(filename: str) -> str:
    """What a dataset is called after its file."""
    return (
        _printable(filename.replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or filename) or "dataset"
    )


def plain_words(filename: str) -> str:
    return f"the file {_printable(filename.replace(chr(92), '/').rpartition('/')[2]) or 'without a name'}"


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:LONGEST_NAME].strip()


def keep_dataset(parts: Parts, order: DatasetOrder, name: str) -> Dataset:
    """The worker judges every row first; the name is the user's, the identity the dataset's."""
    summary = parts.worker.read_dataset(order)
    return keep(parts, summary, name, order)


def keep(parts: Parts, summary: DatasetSummary, name: str, order: DatasetOrder | None = None) -> Dataset:
    """The sweep may have removed an equal one, deleted earlier, in the meantime: then it is read again."""
    assert isinstance(summary.ref, UploadedDataset)
    with parts.sweep.uploading:
        with parts.database.writing() as session, session.begin():
            runs.forget_removal(session, summary.ref.sha256)
        try:
            parts.worker.dataset(summary.ref)
        except NotFound:
            if order is None:
                raise
            parts.worker.read_dataset(order)
        with parts.database.writing() as session, session.begin():
            dataset = Dataset(name=name, sha256=summary.ref.sha256, summary=summary, source=summary.source)
            session.add(dataset)
    return dataset


def repaired(parts: Parts, dataset: Dataset, name: str) -> Dataset:
    return keep(parts, parts.worker.repair_dataset(dataset.sha256), name)


def dataset_of(parts: Parts, dataset_id: UUID) -> Dataset:
    """Read in a transaction of its own: the worker is asked outside any."""
    with parts.database.reading() as session, session.begin():
        dataset = session.get(Dataset, dataset_id)
        if dataset is None:
            raise NotFound("There is no dataset here: it may have been deleted.")
        session.expunge(dataset)
    return dataset


def profiled(parts: Parts, dataset_id: UUID, order: ProfileOrder) -> Dataset:
    summary = parts.worker.profile_dataset(dataset_of(parts, dataset_id).sha256, order)
    with parts.database.writing() as session, session.begin():
        dataset = session.get(Dataset, dataset_id)
        if dataset is None:
            raise NotFound("The dataset was deleted in the meantime.")
        dataset.summary = summary
        session.flush()
        inspected.refresh(session, parts.rulebooks, dataset)
    return dataset


def repaired_name(dataset: Dataset) -> str:
    return f"{dataset.name[:100]}, repaired"
