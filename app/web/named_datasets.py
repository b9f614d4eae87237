"""Datasets by the identity that runs know them by: their names and addresses, without what is in them."""

from uuid import UUID, uuid5

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.datasets import generated
from app.models import Assessment, Dataset
from app.protocol import DatasetRef, GeneratedDataset, UploadedDataset


def names(session: Session) -> dict[str, str]:
    """By identity; where one was brought twice, the newer name."""
    rows = session.execute(select(Dataset.sha256, Dataset.name).order_by(Dataset.created_at))
    return {row.sha256: row.name for row in rows}


def href(session: Session, ref: DatasetRef | None) -> str:
    """The page of what a run learns from; empty where there is none any more."""
    match ref:
        case None:
            return ""
        case ref if ref.kind == "generated":
            return f"/datasets/generated/{ref.name}"
        case ref:
            of_file = select(Dataset.id).where(Dataset.sha256 == ref.sha256)
            newest = session.scalars(of_file.order_by(Dataset.created_at.desc())).first()
            return f"/datasets/{newest}" if newest else ""


def linked(session: Session, assessment: Assessment) -> DatasetRef | None:
    """What the assessment is linked to, as runs know it; None where it was deleted."""
    if assessment.dataset_id is None:
        return None
    if name := generated_name(assessment.dataset_id):
        return GeneratedDataset.model_validate({"name": name})
    found = session.get(Dataset, assessment.dataset_id)
    return UploadedDataset(sha256=found.sha256) if found else None


# Generated ones, which have no row here


def generated_id(name: str) -> UUID:
    """What stands for one where a brought dataset has its id: it follows from the name."""
    return uuid5(_GENERATED, name)


_GENERATED = UUID("6f6b2d0e-6d0a-5c39-9a0e-3d9f0c1b7a55")


def generated_name(dataset_id: UUID) -> str | None:
    """The generated dataset that this id stands for; None for any other id."""
    return next((name for name in generated.NAMES if generated_id(name) == dataset_id), None)
