"""A small form of model, dataset and grader, as a probe and a pilot of an assessment ask for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Depends, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Problem, TuningForkError
from app.models import Assessment, Dataset
from app.protocol import RunSpec
from app.web import launch_words, named_datasets, probe_form
from app.web.deps import AssessmentDep, ItsReadableRulebookDep, SessionDep, render
from app.web.grader_choices import grader_choices, trained_reward_models
from app.web.launch_form import Reading
from app.web.launch_stock import Stock, StockDep
from app.web.pages.launch import origins


@dataclass(frozen=True)
class Asking:
    """What the form needs around it."""

    request: Request
    session: Session
    stock: Stock
    assessment: Assessment | None
    before: RunSpec | None
    """As it was chosen before, where it was."""

    @property
    def graders(self) -> probe_form.Graders:
        stored, trained = grader_choices(self.session), trained_reward_models(self.session)
        return probe_form.graders(stored, trained, self.before)

    @property
    def defaults(self) -> dict[str, str]:
        if self.before is not None:
            return probe_form.values(self.before, self.graders)
        linked = named_datasets.linked(self.session, self.assessment) if self.assessment else None
        return probe_form.defaults(self.assessment.name if self.assessment else "the starter model", linked)

    def read(self, form: Mapping[str, str]) -> Reading:
        starts = {value: run.spec for value, run in origins(self.session, form).items()}
        return probe_form.read(form, starts, self.graders)

    def page(
        self, template: str, form: Mapping[str, str], problems: Sequence[Problem], **more: Any
    ) -> Response:
        brought = list(self.session.scalars(select(Dataset).order_by(Dataset.created_at.desc())))
        return render(
            self.request,
            template,
            422 if problems else 200,
            assessment=self.assessment,
            form=form,
            problems=problems,
            model_options=launch_words.model_options(self.stock.models, origins(self.session, form)),
            models_unknown=not self.stock.known,
            dataset_options=launch_words.probe_options(self.stock.datasets, brought),
            grader_options=[("", "Choose one"), *self.graders.choices],
            key=form.get("key") or str(uuid4()),
            **more,
        )


def of_assessment(
    request: Request,
    stock: StockDep,
    assessment: AssessmentDep,
    rulebook: ItsReadableRulebookDep,
    session: SessionDep,
) -> Asking:
    known = probe_form.known(session, assessment, rulebook)
    return Asking(request, session, stock, assessment, known)


AskingDep = Annotated[Asking, Depends(of_assessment)]


def key_of(form: Mapping[str, str]) -> str | None:
    """The form sent twice is one launch."""
    return f"form/{form['key'][:64]}" if form.get("key") else None


def beside_fields(error: TuningForkError) -> list[Problem]:
    """A launch's problems, each at the field of the form; one without a place stands above them."""
    named = [Problem(where=each.where.rpartition(".")[2], what=each.what) for each in error.problems]
    return named or [Problem(where="", what=error.sentence)]
