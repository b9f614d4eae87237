"""What a dataset is: rows from a file or from a generator, split into train and held out."""

from pathlib import Path

from app.datasets import generated
from app.datasets.formats import read_rows
from app.datasets.kept import CANONICAL, read_kept
from app.datasets.rows import Split
from app.datasets.splitting import split
from app.protocol import DatasetRef, GeneratedDataset

LONGEST_LINE = 16_000_000
"""Bytes. Uploads were held to the worker's own limit when they came in; this only bounds memory."""


def load(ref: DatasetRef, dataset_file: str | None, held_out_items: int) -> Split:
    """The same split for every run, every evaluation and every method on this dataset."""
    if isinstance(ref, GeneratedDataset):
        made = generated.generate(ref.name)
        return Split(train=made.train, held_out=made.held_out[:held_out_items])
    if dataset_file is None:
        raise ValueError("an uploaded dataset needs its file")
    if Path(dataset_file).name == CANONICAL:
        return read_kept(Path(dataset_file), held_out_items)
    return split(read_rows(Path(dataset_file), LONGEST_LINE), held_out_items)
