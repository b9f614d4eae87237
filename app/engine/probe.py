"""Probes the starting model: it answers prompts several times each, and the grader scores the answers."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

import torch

from app.datasets.formats import Row
from app.engine.evaluation import answered_by_batch
from app.engine.loading import Loaded, load
from app.engine.measuring import Answer, marked, refuse_useless_grader, sample, share, values
from app.engine.model_files import Found
from app.engine.reporting import Run, readable
from app.engine.rows import Probed, answers, in_words
from app.graders import probing
from app.graders.bench import Bench
from app.graders.comparison import Scores
from app.graders.forms import readable as has_form
from app.protocol import (
    Abstain,
    DemonstrationScores,
    Difference,
    EvaluationPlan,
    Grader,
    GraderError,
    Outcome,
    ProbedPrompt,
    ProbeEvent,
    ProbeRecipe,
    ProbeReport,
    ResumeEvent,
    RunState,
    SampledAnswer,
    pass_threshold,
)

GRADED_AT_ONCE = 64
"""Answers between two looks whether to stop, and between two words about how far it is."""

LONGEST_BEGINNING = 300
"""Characters of a prompt in the table of all of them."""

T = TypeVar("T")


@dataclass(frozen=True)
class Drawn:
    """Rows, the answers to each one after another, and what these were worth."""

    asked: Probed
    rows: Sequence[Row]
    """As many times as each was asked."""
    answers: Sequence[Answer]
    outcomes: Sequence[Outcome]
    grader_seconds: float
    seconds: float

    def by_prompt(self, each: Sequence[T]) -> list[Sequence[T]]:
        size = len(self.rows) // len(self.asked.prompts)
        return [each[start : start + size] for start in range(0, len(each), size)]

    @property
    def scores(self) -> list[Scores]:
        """Of the answers to each prompt."""
        return self.by_prompt(values(self.outcomes))


def probe(run: Run, asked: Probed, found: Found) -> None:
    """Says what it found, and is through. Raises Stopped, Interrupted or CannotTrain."""
    recipe, grader = run.spec.recipe, run.spec.grader
    assert isinstance(recipe, ProbeRecipe)
    assert grader is not None
    if run.inputs.why:
        run.say(ResumeEvent(from_step=0, attempt=run.inputs.attempt, why=run.inputs.why))
    run.plan(len(asked.prompts))
    loaded = load(run, found)
    run.enter(RunState.EVALUATING, f"answering {len(asked.prompts)} prompts {recipe.samples} times each")
    began = time.monotonic()
    rows = [row for row in asked.prompts.values() for _ in range(recipe.samples)]
    given = _answered(run, recipe, loaded, rows)
    graded = time.monotonic()
    outcomes = _graded(run, grader, rows, given)
    ended = time.monotonic()
    drawn = Drawn(asked, rows, given, outcomes, ended - graded, ended - began)
    run.say(ProbeEvent(report=report(run.bench, recipe, grader, drawn)))
    run.steps_done = len(asked.prompts)


def _answered(run: Run, recipe: ProbeRecipe, loaded: Loaded, rows: Sequence[Row]) -> list[Answer]:
    """Sampled as an evaluation samples, which is as GRPO's rollouts are."""
    torch.manual_seed(run.spec.seed)
    plan = EvaluationPlan(max_completion_length=recipe.max_completion_length, temperature=recipe.temperature)
    given: dict[int, Answer] = {}
    for places, batch in answered_by_batch(run, plan, loaded, rows, is_sampled=True):
        given |= zip(places, batch, strict=True)
        run.progress("answering", len(given), len(rows))
    return [given[place] for place in range(len(rows))]


def _graded(run: Run, grader: Grader, rows: Sequence[Row], given: Sequence[Answer]) -> list[Outcome]:
    """Raises CannotTrain where the grader scores nothing; a judge that is down is not asked to the end."""
    outcomes: list[Outcome] = []
    graded = answers(rows, [answer.text for answer in given])
    for start in range(0, len(graded), GRADED_AT_ONCE):
        run.stop_if_asked()
        outcomes += run.bench.grade(grader, graded[start : start + GRADED_AT_ONCE])
        run.progress("grading", len(outcomes), len(graded))
        if all(isinstance(outcome, GraderError) for outcome in outcomes):
            refuse_useless_grader(outcomes, "answer")
    refuse_useless_grader(outcomes, "answer")
    return outcomes


# The report


def report(bench: Bench, recipe: ProbeRecipe, grader: Grader, drawn: Drawn) -> ProbeReport:
    least, scores = pass_threshold(grader), drawn.scores
    known = [score for group in scores for score in group if score is not None]
    failed = [outcome for outcome in drawn.outcomes if isinstance(outcome, GraderError)]
    demonstrations, difference = _demonstrations(bench, grader, drawn)
    prompts = list(_prompts(drawn))
    return ProbeReport(
        prompts=prompts,
        samples=recipe.samples,
        temperature=recipe.temperature,
        max_completion_length=recipe.max_completion_length,
        passed=probing.passed(scores, least),
        mean=fmean(known),
        pass_at=probing.pass_at(scores, least),
        dead=probing.dead(scores, recipe.group_sizes, recipe.samples, least),
        clipped=fmean(answer.is_clipped for answer in drawn.answers),
        lengths=probing.lengths([answer.tokens for answer in drawn.answers]),
        format_valid=_format_valid(bench, grader, drawn),
        distinct=fmean(prompt.distinct for prompt in prompts) / recipe.samples,
        abstained=sum(isinstance(outcome, Abstain) for outcome in drawn.outcomes),
        errors=len(failed),
        first_error=readable(failed[0].why, LONGEST_BEGINNING) if failed else "",
        grader_seconds=drawn.grader_seconds,
        seconds=drawn.seconds,
        demonstrations=demonstrations,
        difference=difference,
        shown=list(_shown(grader, drawn, recipe.samples_shown)),
    )


def _prompts(drawn: Drawn) -> Iterator[ProbedPrompt]:
    by_prompt = zip(drawn.asked.prompts.items(), drawn.by_prompt(drawn.answers), drawn.scores, strict=True)
    for (place, row), given, scores in by_prompt:
        yield ProbedPrompt(
            row=place,
            prompt=readable(in_words(row.prompt), LONGEST_BEGINNING),
            scores=list(scores),
            tokens=[answer.tokens for answer in given],
            clipped=sum(answer.is_clipped for answer in given),
            distinct=len({answer.text.strip() for answer in given}),
        )


def _format_valid(bench: Bench, grader: Grader, drawn: Drawn) -> float | None:
    given = answers(drawn.rows, [answer.text for answer in drawn.answers])
    read = has_form(grader, given, bench.grade)
    return None if read is None else fmean(read)


def _demonstrations(
    bench: Bench, grader: Grader, drawn: Drawn
) -> tuple[DemonstrationScores | None, Difference | None]:
    """The rows' own answers under the same grader, and how they compare with the model's."""
    is_paired = not drawn.asked.demonstrations
    rows = list(drawn.asked.prompts.values()) if is_paired else drawn.asked.demonstrations
    written = [row for row in rows if row.answer is not None]
    if not written:
        return None, None
    outcomes = bench.grade(grader, answers(written, [row.answer or "" for row in written]))
    scored = dict(zip(map(id, written), values(outcomes), strict=True))
    shown = [scored.get(id(row)) for row in rows]
    known = [score for score in shown if score is not None]
    if not known:
        return None, None
    demonstrations = DemonstrationScores(
        passed=share(marked(outcomes, pass_threshold(grader))),
        mean=fmean(known),
        errors=sum(isinstance(outcome, GraderError) for outcome in outcomes),
    )
    return demonstrations, probing.against_demonstrations(drawn.scores, shown, is_paired)


def _shown(grader: Grader, drawn: Drawn, most: int) -> Iterator[SampledAnswer]:
    """To read: the first answer to every prompt, then the second, in the prompts' order."""
    size = len(drawn.rows) // len(drawn.asked.prompts)
    in_turn = sorted(range(len(drawn.rows)), key=lambda place: place % size)
    places = list(drawn.asked.prompts)
    for place in sorted(in_turn[:most]):
        item = places[place // size]
        yield sample(item, drawn.rows[place], drawn.answers[place], drawn.outcomes[place], grader)
