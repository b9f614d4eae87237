"""Tries a grader out: scores answers, attacks it with degenerate ones, compares it with experts."""

from collections.abc import Callable, Sequence

from app.graders.agreement import agreement
from app.graders.answer import Answer
from app.graders.attacks import attack_answers, attack_report
from app.protocol import Grader, Outcome, Trial, TrialReport, pass_threshold

Grade = Callable[[Grader, Sequence[Answer]], list[Outcome]]


def try_out(trial: Trial, grade: Grade, clock: Callable[[], float]) -> TrialReport:
    """`clock` tells seconds; all answers are graded as one batch, all attacks as another."""
    given = [Answer(each.output_text, each.item, each.prompt) for each in trial.answers]
    began = clock()
    outcomes = grade(trial.grader, given) if given else []
    answered = clock()
    attacks = attack_answers(trial.grader, trial.rows)
    attacked = grade(trial.grader, [each.answer for each in attacks]) if attacks else []
    seconds = clock() - answered
    scored_by_experts = any(each.expert is not None for each in trial.answers)
    return TrialReport(
        outcomes=outcomes,
        answers_seconds=answered - began,
        attacks=attack_report(trial.grader, trial.rows, attacks, attacked, seconds) if trial.rows else None,
        agreement=agreement(trial.answers, outcomes, pass_threshold(trial.grader), trial.expert_pass)
        if scored_by_experts
        else None,
    )
