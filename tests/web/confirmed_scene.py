"""A recommendation that was followed, as the sweep would have copied it: runs with what they told."""

import json
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import select

from app import confirming
from app.database import now
from app.graders.comparison import wilson
from app.main import read_rulebook
from app.models import Milestone, Report, Run
from app.protocol import (
    EndEvent,
    Evaluation,
    EvaluationEvent,
    GraderScores,
    HealthEvent,
    RunSpec,
    RunState,
    Share,
    StateEvent,
)
from tests.web.conftest import parts_of

LEGAL = read_rulebook().examples[0].answers
MINUTES = 30
"""That each run of a scene takes."""

SFT = {
    "kind": "sft",
    "learning_rate": 0.001,
    "batch_size": 16,
    "micro_batch_size": 16,
    "epochs": 1.0,
    "max_length": 256,
}
GRPO = {
    "kind": "grpo",
    "learning_rate": 0.0005,
    "batch_size": 64,
    "micro_batch_size": 64,
    "steps": 60,
    "num_generations": 8,
    "max_completion_length": 96,
}
SPEC = {
    "name": "Warm start",
    "model": {"kind": "hub", "id": "somebody/some-model-7B"},
    "dataset": {"kind": "generated", "name": "rulings"},
    "grader": {"type": "regex", "name": "ruling", "pattern": "x"},
    "recipe": SFT,
}


def outcomes(right, of=40):
    return "1" * right + "0" * (of - right)


def share(told):
    right = told.count("1")
    return Share(right=right, n=len(told), interval=wilson(right, len(told)))


def evaluated(when, told, task="main", independent=None):
    given = [1.0 if each == "1" else 0.0 for each in independent or ""]
    scores = [GraderScores(grader="strict", role="independent", sampled=given, greedy=given)] if given else []
    return EvaluationEvent(
        evaluation=Evaluation(
            when=when,
            task=task,
            sampled=share(told),
            greedy=share(told),
            sampled_outcomes=told,
            greedy_outcomes=told,
            scores=scores,
            abstained=0,
            errors=0,
            mean_tokens=9.0,
            clipped=0.0,
            samples=[],
            seconds=1.0,
        )
    )


def stopped(sentence="The reward rises while the independent score falls."):
    return HealthEvent(rule="reward_over_optimisation", level="stop", step=3, sentence=sentence)


A100 = "NVIDIA A100-SXM4-80GB"


def ended(state, stops=(), device=A100):
    """As the engine says it, which measures the model that it keeps before it tells that it was stopped."""
    reason = f"{stops[0].in_words} The model of step 2 is kept." if stops else None
    kept = 2 if stops else None
    return EndEvent(state=state, steps_done=3, total_steps=60, reason=reason, kept_step=kept, device=device)


def decided(client, **more):
    """The address of an assessment with a recommendation: GRPO after a short SFT warm start."""
    body = {"name": "Legal pilot", "answers": LEGAL} | more
    address = client.post("/api/v1/assessments", json=body).headers["location"]
    assert client.post(f"{address}/recommendation").status_code == 201
    return address


class Told:
    """Runs of one app, and what they tell."""

    def __init__(self, app, address):
        self.database = parts_of(app).database
        self.assessment_id = UUID(address.rsplit("/", 1)[1])

    def run(self, *events, spec=SPEC, state=None, device=A100, **more):
        """`events` between a start and an end that are `MINUTES` apart; a finding that stops it fails it."""
        run_id = uuid4()
        stops = [each for each in events if isinstance(each, HealthEvent) and each.level == "stop"]
        state = state or (RunState.FAILED if stops else RunState.SUCCEEDED)
        ending = ended(state, stops, device) if state.is_over else StateEvent(state=state)
        with self.database.writing() as session, session.begin():
            milestone = session.scalars(
                select(Milestone)
                .where(Milestone.assessment_id == self.assessment_id)
                .order_by(Milestone.number.desc())
            ).first()
            row = {
                "assessment_id": self.assessment_id,
                "milestone_id": milestone.id,
                "advised": milestone.recommendation.method,
                "started_at": now() - timedelta(minutes=MINUTES),
                "ended_at": now(),
                "accepted_at": now(),
                "last_seq": len(events) + 2,
            } | more
            read = RunSpec.model_validate_json(json.dumps(spec))
            session.add(Run(id=run_id, spec=read, state=state, **row))
            session.flush()
            told = [StateEvent(state=RunState.STARTING), *events, ending]
            for seq, event in enumerate(told, 1):
                at = 1000.0 + (MINUTES * 60 if seq == len(told) else 0)
                session.add(Report(run_id=run_id, seq=seq, at=at, kind=event.kind, what=event))
        return run_id

    def plan(self, before=8, middle=20, after=32, last=(), first=(), **more):
        """A warm start, and the GRPO run that went on from its model; the id of the latter."""
        start = self.run(
            evaluated("before", outcomes(before)),
            evaluated("after", outcomes(middle)),
            *first,
            stage=1,
            stages=2,
        )
        return self.run(
            evaluated("before", outcomes(middle)),
            *last,
            evaluated("after", outcomes(after)),
            **{"spec": SPEC | {"name": "GRPO", "recipe": GRPO}, "stage": 2, "stages": 2, "starts_from": start}
            | more,
        )

    def confirmed(self, *runs):
        for run_id in runs:
            confirming.confirm(self.database, run_id)


def confirmations(client):
    return client.get("/api/v1/confirmations").json()["items"]
