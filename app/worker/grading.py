"""What the worker's settings let graders use, here and in engines."""

from app.graders.bench import Bench, Resources
from app.graders.parts import asks_judge
from app.protocol import JudgeEndpoint, RunSpec, SandboxLimits
from app.settings import WorkerSettings


def judge_of(settings: WorkerSettings) -> JudgeEndpoint | None:
    if not settings.judge_url:
        return None
    return JudgeEndpoint(
        url=settings.judge_url,
        model=settings.judge_model,
        seconds=settings.judge_seconds,
        concurrency=settings.judge_concurrency,
    )


def sandbox_of(settings: WorkerSettings) -> SandboxLimits:
    return SandboxLimits(seconds=settings.python_seconds, memory_bytes=settings.python_memory_bytes)


def judge_key_for(spec: RunSpec, settings: WorkerSettings) -> str:
    """Empty unless the run asks the judge: what an engine does not need it is not given."""
    is_needed = any(asks_judge(grader) for grader in spec.all_graders)
    return settings.judge_key.get_secret_value() if is_needed else ""


def bench_of(settings: WorkerSettings) -> Bench:
    """For trying graders on the worker, which holds no reward model."""
    return Bench(
        Resources(
            judge=judge_of(settings),
            judge_key=settings.judge_key.get_secret_value(),
            sandbox=sandbox_of(settings),
        )
    )
