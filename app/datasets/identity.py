"""What names a dataset: its file's hash, and the reading where one was chosen."""

import hashlib

from app.protocol import Reading


def dataset_identity(file_sha256: str, reading: Reading) -> str:
    """Of a plain reading the file's own hash; else of both, so that two readings are two datasets."""
    if reading.is_plain:
        return file_sha256
    chosen = reading.model_dump_json(exclude_defaults=True)
    return hashlib.sha256(f"{file_sha256}\n{chosen}".encode()).hexdigest()
