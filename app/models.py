"""The tables: who may come in, what was asked and answered, and what is trained."""

from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, WriteOnlyMapped, mapped_column, relationship

from app.advisor.recommendation import Recommendation
from app.database import Base, Document, now
from app.outcome import Outcome
from app.protocol import DatasetSummary, Grader, Happening, Limits, Method, RunSpec, RunState


class LoginToken(Base):
    """A link that signs in one browser, once. Only its hash is kept."""

    __tablename__ = "login_tokens"

    hash: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class BrowserSession(Base):
    __tablename__ = "browser_sessions"

    hash: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_seen_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]


class ApiKey(Base):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    """Eight characters, part of the key itself: `tf_<id>_<secret>`."""
    name: Mapped[str]
    hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Assessment(Base):
    __tablename__ = "assessments"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    weights: Mapped[dict[str, float]] = mapped_column(Document(dict[str, float]), default=dict)
    """Factor weights as given; empty means the rulebook's own."""
    measurements: Mapped[dict[str, float]] = mapped_column(
        Document(dict[str, float]), default=dict, server_default="{}"
    )
    """What inspection and probe found, by the names the rulebook's gates use."""
    rulebook_version: Mapped[str]
    rulebook_checksum: Mapped[str] = mapped_column(default="", server_default="")
    """Of the rulebook it stands on until it is upgraded."""
    dataset_id: Mapped[UUID | None]
    """The data that its answers are about, once it is brought; it may be gone."""
    change_count: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)

    answers: Mapped[list["StoredAnswer"]] = relationship(
        cascade="all, delete-orphan", order_by="StoredAnswer.question", lazy="selectin"
    )
    milestones: Mapped[list["Milestone"]] = relationship(
        cascade="all, delete-orphan", order_by="Milestone.number", lazy="selectin"
    )
    """Scenarios among them."""
    changes: WriteOnlyMapped["Change"] = relationship(
        cascade="all, delete-orphan", passive_deletes=True, order_by="Change.number"
    )

    @property
    def decisions(self) -> list["Milestone"]:
        """The recommendations made from the assessment's own answers, oldest first."""
        return [milestone for milestone in self.milestones if milestone.kind == "decision"]


class StoredAnswer(Base):
    __tablename__ = "answers"

    assessment_id: Mapped[UUID] = mapped_column(
        ForeignKey("assessments.id", ondelete="CASCADE"), primary_key=True
    )
    question: Mapped[str] = mapped_column(primary_key=True)
    answer: Mapped[Any] = mapped_column(Document(Any), nullable=True)
    """In the wire form of the API: a choice, a quantity, `not_applicable`, null, or an object with a note."""
    revision: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime] = mapped_column(default=now)


class Milestone(Base):
    """A frozen recommendation: answers, weights, rulebook and result together, never recomputed."""

    __tablename__ = "milestones"
    __table_args__ = (Index("uq_milestones_assessment_id_number", "assessment_id", "number", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    assessment_id: Mapped[UUID] = mapped_column(ForeignKey("assessments.id", ondelete="CASCADE"))
    number: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=now)
    rulebook_version: Mapped[str]
    rulebook_checksum: Mapped[str]
    answers: Mapped[dict[str, Any]] = mapped_column(Document(dict[str, Any]))
    weights: Mapped[dict[str, float]] = mapped_column(Document(dict[str, float]))
    measurements: Mapped[dict[str, float]] = mapped_column(
        Document(dict[str, float]), default=dict, server_default="{}"
    )
    recommendation: Mapped[Recommendation] = mapped_column(Document(Recommendation))
    kind: Mapped[str] = mapped_column(default="decision", server_default="decision")
    """`decision`, or `scenario`: other answers that were tried out and kept."""
    label: Mapped[str] = mapped_column(default="", server_default="")
    """What it is called, where a number says too little."""
    name: Mapped[str] = mapped_column(default="", server_default="")
    description: Mapped[str] = mapped_column(default="", server_default="")
    """The assessment's, as they were."""
    status: Mapped[str] = mapped_column(default="proposed", server_default="proposed")
    """Of the decision record: proposed, accepted, rejected, deprecated or superseded."""
    owner: Mapped[str] = mapped_column(default="", server_default="")
    review_by: Mapped[date | None]
    supersedes_id: Mapped[UUID | None]
    """An earlier milestone, of any assessment; it may be gone."""


class StoredRulebook(Base):
    """A rulebook as files. The one published last is in force; assessments stay on theirs until upgraded."""

    __tablename__ = "rulebooks"

    checksum: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]
    files: Mapped[dict[str, str]] = mapped_column(Document(dict[str, str]))
    shipped: Mapped[bool]
    """With the product, not uploaded."""
    note: Mapped[str] = mapped_column(default="")
    added_at: Mapped[datetime] = mapped_column(default=now)
    published_at: Mapped[datetime | None]
    """None while it is a draft."""


class Change(Base):
    """One change of an assessment, in the order in which they came."""

    __tablename__ = "changes"

    assessment_id: Mapped[UUID] = mapped_column(
        ForeignKey("assessments.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)
    what: Mapped[str]
    """A question id, or `weights`, `name`, `description`, `rulebook`."""
    before: Mapped[Any] = mapped_column(Document(Any), nullable=True)
    after: Mapped[Any] = mapped_column(Document(Any), nullable=True)
    why: Mapped[str] = mapped_column(default="")
    """What brought it about, where it was not simply answered."""


class Proposal(Base):
    """An answer somebody or something suggests. It counts once it is accepted, and stays on record."""

    __tablename__ = "proposals"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    assessment_id: Mapped[UUID] = mapped_column(ForeignKey("assessments.id", ondelete="CASCADE"), index=True)
    question: Mapped[str]
    answer: Mapped[Any] = mapped_column(Document(Any), nullable=True)
    """In the wire form."""
    because: Mapped[str]
    """The sentence or the figure it rests on."""
    source: Mapped[str]
    """Where that comes from: `description`, `dataset:<id>`, `run:<id>`."""
    made_at: Mapped[datetime] = mapped_column(default=now)
    settled_at: Mapped[datetime | None]
    accepted: Mapped[bool | None]


class Share(Base):
    """A link that shows one milestone to whoever has it. Only the hash of its token is kept."""

    __tablename__ = "shares"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    hash: Mapped[str] = mapped_column(unique=True)
    milestone_id: Mapped[UUID] = mapped_column(ForeignKey("milestones.id", ondelete="CASCADE"), index=True)
    label: Mapped[str] = mapped_column(default="")
    """For whom it was made."""
    with_notes: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]


class Dataset(Base):
    """Rows the user brought; the worker holds them under the same hash."""

    __tablename__ = "datasets"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(index=True)
    summary: Mapped[DatasetSummary] = mapped_column(Document(DatasetSummary))
    source: Mapped[str] = mapped_column(default="", server_default="")
    """Where it came from, in words: a file's name, a hub id with its commit, a path on the worker."""
    created_at: Mapped[datetime] = mapped_column(default=now)


class NamedGrader(Base):
    """A grader under a name. A change is a new version; a run keeps the one it was launched with."""

    __tablename__ = "graders"
    __table_args__ = (Index("uq_graders_name_version", "name", "version", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    version: Mapped[int]
    spec: Mapped[Grader] = mapped_column(Document(Grader))
    note: Mapped[str] = mapped_column(default="", server_default="")
    """What this version changed, or what the grader is for."""
    report: Mapped[Any] = mapped_column(Document(Any), nullable=True)
    """What trying it last found: attacks, and agreement with experts."""
    created_at: Mapped[datetime] = mapped_column(default=now)


class Run(Base):
    __tablename__ = "runs"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    spec: Mapped[RunSpec] = mapped_column(Document(RunSpec))
    state: Mapped[RunState] = mapped_column(index=True, default=RunState.REQUESTED)
    detail: Mapped[str | None]
    assessment_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("assessments.id", ondelete="SET NULL"), index=True
    )
    milestone_id: Mapped[UUID | None] = mapped_column(ForeignKey("milestones.id", ondelete="SET NULL"))
    pilot_id: Mapped[UUID | None] = mapped_column(index=True)
    arm: Mapped[str] = mapped_column(default="", server_default="")
    """Of a pilot: `sft`, `grpo` or `sft_then_grpo`."""
    stage: Mapped[int] = mapped_column(default=1)
    stages: Mapped[int] = mapped_column(default=1)
    starts_from: Mapped[UUID | None] = mapped_column(index=True)
    advised: Mapped[Method | None]
    """What the recommendation said when this run was launched."""
    override_reason: Mapped[str | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    wish: Mapped[str | None]
    """`pause` or `resume` until the worker has confirmed it."""
    limits: Mapped[Limits | None] = mapped_column(Document(Limits), nullable=True)
    """Those that hold, where resuming raised the spec's."""
    priority: Mapped[int] = mapped_column(default=0, server_default="0")
    priority_told: Mapped[int] = mapped_column(default=0, server_default="0")
    """The priority that the worker last confirmed; the sweep repeats a change until both agree."""
    attempt: Mapped[int] = mapped_column(default=1, server_default="1")
    last_seq: Mapped[int] = mapped_column(default=0)
    steps_done: Mapped[int] = mapped_column(default=0)
    total_steps: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    accepted_at: Mapped[datetime | None]
    """When the worker first had it; until then the sweep repeats the launch."""
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    notified_at: Mapped[datetime | None]
    """When the webhook about its end was delivered."""
    notify_attempts: Mapped[int] = mapped_column(default=0, server_default="0")

    @property
    def kind(self) -> str:
        return self.spec.recipe.kind


class Pilot(Base):
    """Both methods tried for a short while on equal terms. Its runs name it, and hold what they found."""

    __tablename__ = "pilots"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    assessment_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("assessments.id", ondelete="SET NULL"), index=True
    )
    milestone_id: Mapped[UUID | None] = mapped_column(ForeignKey("milestones.id", ondelete="SET NULL"))
    """The recommendation it was to test."""
    plan: Mapped[Any] = mapped_column(Document(Any))
    """What was asked for: minutes, arms, seeds."""
    created_at: Mapped[datetime] = mapped_column(default=now)


class Confirmation(Base):
    """What a full run showed about the recommendation it followed. Kept when the run is deleted."""

    __tablename__ = "confirmations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    milestone_id: Mapped[UUID] = mapped_column(ForeignKey("milestones.id", ondelete="CASCADE"), index=True)
    run_id: Mapped[UUID] = mapped_column(unique=True)
    """It may be gone."""
    outcome: Mapped[Outcome] = mapped_column(Document(Outcome))
    made_at: Mapped[datetime] = mapped_column(default=now)


class Removal(Base):
    """Something deleted here that the worker has not confirmed yet; the sweep asks until it has."""

    __tablename__ = "removals"

    key: Mapped[str] = mapped_column(primary_key=True)
    """A run id or a dataset's hash, as the worker knows it."""
    kind: Mapped[str]
    """`run` or `dataset`."""
    requested_at: Mapped[datetime] = mapped_column(default=now)


class Report(Base):
    """A run event as copied from the worker. Copying twice changes nothing: the key decides."""

    __tablename__ = "reports"

    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float]
    kind: Mapped[str] = mapped_column(index=True)
    what: Mapped[Happening] = mapped_column(Document(Happening))
