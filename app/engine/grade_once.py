"""Tries a grader that asks a reward model: `python -m app.engine.grade_once`, TrialOrder in, TrialResult out.

A process of its own, because scoring with a model needs torch, which the worker never imports.
"""

import os
import sys
import time
import traceback
from uuid import UUID

from app.engine.failures import first_line
from app.engine.reward_models import RewardModels
from app.graders.answer import Answer
from app.graders.bench import Bench, Resources
from app.graders.trying import try_out
from app.protocol import TrialOrder, TrialReport, TrialResult
from app.run_dir import JUDGE_KEY


def main() -> int:
    # What libraries print must not stand between us and who reads the result.
    result = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with result:
        result.write(answer(sys.stdin.buffer.read()).model_dump_json())
    return 0


def answer(order: bytes) -> TrialResult:
    try:
        return TrialResult(report=_tried(TrialOrder.model_validate_json(order)))
    except Exception as error:
        traceback.print_exc()
        return TrialResult(
            why=f"The reward model could not be used: {type(error).__name__}: {first_line(error)}."
        )


def _tried(order: TrialOrder) -> TrialReport:
    models = RewardModels(order.reward_models, order.device)
    _load(models, order)
    resources = Resources(
        judge=order.judge,
        judge_key=os.environ.pop(JUDGE_KEY, ""),
        sandbox=order.sandbox,
        reward_models=models,
    )
    with Bench(resources) as bench:
        return try_out(order.trial, bench.grade, time.perf_counter)


def _load(models: RewardModels, order: TrialOrder) -> None:
    """Before anything is graded: loading is not grading time, and a model that cannot be read is told."""
    for run in order.reward_models:
        models(UUID(run), [Answer("")])


if __name__ == "__main__":
    sys.exit(main())
