"""The checks without tokens and memory: model files, settings, data, grader, tracking, disk."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from app.datasets.rows import Row, Split
from app.engine import model_files, rows
from app.engine.reporting import Run
from app.engine.weight_files import parameters, trouble_with_weights
from app.graders.attacks import attack_answers, attack_report
from app.graders.grading import check as check_grader
from app.graders.parts import reward_model_runs
from app.protocol import (
    AttackReport,
    Check,
    CheckName,
    CheckResult,
    Grader,
    GrpoRecipe,
    PreflightInputs,
    Recipe,
    RunSpec,
    SftRecipe,
    TrainingRecipe,
    TriedRow,
)

PASS, WARN, FAIL = CheckResult.PASS, CheckResult.WARN, CheckResult.FAIL
NOT_APPLICABLE = CheckResult.NOT_APPLICABLE

ROWS_TRIED = 5
"""On which the grader is tried."""

FEW_DEMONSTRATIONS, START_OF_EFFECT = 10, 50
"""Below the first SFT has nothing to learn from; from the second on an effect shows (OpenAI's SFT guide)."""
FEW_PROMPTS, BARE_PROMPTS, USUAL_PROMPTS = 10, 50, 100
"""Below the first GRPO is blocked, up to the others warned of (AWS Nova, Microsoft Foundry)."""
FEW_HELD_OUT = 50
"""Held-out rows below which before and after can hardly be told apart (Microsoft Foundry: 50 to 100)."""
FEW_UPDATES = 10
"""Updates of a whole training below which little can happen; our choice."""

BYTES_A_WEIGHT = 12
"""Of a full checkpoint: the weight and Adam's two averages, each in float32."""
CHECKPOINTS = 2.5
"""Times a checkpoint's size that must be free: two are kept and one is being written."""

TRACKING_SECONDS = 5.0


@dataclass
class Found:
    """What checks hand on to later ones; None where it could not be had."""

    model: model_files.Found | None = None
    split: Split | None = None
    updates: int = 0
    """Of the whole training."""
    parameters: int = 0


@dataclass(frozen=True)
class Looking:
    run: Run
    inputs: PreflightInputs
    found: Found

    @property
    def spec(self) -> RunSpec:
        return self.run.spec

    def model(self) -> Check:
        name = CheckName.MODEL
        if self.inputs.model_is_coming:
            return Check(name=name, result=NOT_APPLICABLE, sentence=self.inputs.model_is_coming)
        found = model_files.find(self.run)
        if trouble := trouble_with_weights(found.folder):
            return Check(name=name, result=FAIL, sentence=trouble, fix="Fetch or save the model again.")
        self.found.model = found
        self.found.parameters = sum(parameters(file) for file in found.folder.glob("*.safetensors"))
        return Check(
            name=name,
            result=PASS,
            sentence=f"{_capital(found.source)} is here: {_amount(self.found.parameters)} parameters as "
            f"safetensors, and nothing in it asks for code of its own.{self.inputs.stands_in}",
            figures={"parameters": self.found.parameters},
        )

    def settings(self) -> Check:
        from app.engine.trl_config import validate_with_trl

        if trouble := validate_with_trl(self.spec, self.run.inputs.device):
            fix = "Change the fields it names."
            return Check(name=CheckName.SETTINGS, result=FAIL, sentence=_ended(trouble), fix=fix)
        count = len(getattr(self.spec.recipe, "advanced", {}))
        also = f", the {count} under “advanced” among them" if count else ""
        return Check(
            name=CheckName.SETTINGS, result=PASS, sentence=f"The trainer accepts all settings{also}."
        )

    def dataset(self) -> Check:
        split = self.found.split = rows.read(self.run)
        result, sentence, fix = _enough(self.spec.recipe, split.train)
        return Check(
            name=CheckName.DATASET,
            result=result,
            sentence=sentence,
            fix=fix,
            figures={"rows": len(split.train)},
        )

    def batch(self) -> Check:
        recipe = self.spec.recipe
        if not isinstance(recipe, TrainingRecipe) or self.found.split is None:
            return _untold(CheckName.BATCH, "The dataset could not be read.")
        updates = self.found.updates = updates_of(recipe, len(self.found.split.train))
        few = updates < FEW_UPDATES
        return Check(
            name=CheckName.BATCH,
            result=WARN if few else PASS,
            sentence=f"{_batch_in_words(recipe)} The whole training has {_counted(updates, 'update')}.",
            fix="Lower batch_size or train longer; so few updates change little." if few else "",
            figures={"updates": updates},
        )

    def held_out(self) -> Check:
        name = CheckName.HELD_OUT
        split = self.found.split
        if split is None:
            return _untold(name, "The dataset could not be read.")
        figures = {"held_out": len(split.held_out), "leaks": leaks(split)}
        if not split.held_out:
            return Check(
                name=name,
                result=FAIL,
                sentence="Nothing is held out, so nobody could tell whether the training helped.",
                fix="Bring more rows with different prompts.",
                figures=figures,
            )
        if figures["leaks"]:
            return Check(
                name=name,
                result=FAIL,
                sentence=f"{_counted(int(figures['leaks']), 'held-out row')} also among the training rows, "
                "apart from case and spaces.",
                fix="Take the duplicates out of the data; the datasets page offers a repaired copy.",
                figures=figures,
            )
        few = len(split.held_out) < FEW_HELD_OUT
        return Check(
            name=name,
            result=WARN if few else PASS,
            sentence=f"{_counted(len(split.held_out), 'row')} held out, none among the training rows.",
            fix=f"Below {FEW_HELD_OUT} only large changes can be told from chance: bring more rows."
            if few
            else "",
            figures=figures,
        )

    def grader(self) -> Check:
        name, grader = CheckName.GRADER, self.spec.grader
        if grader is None:
            return Check(name=name, result=NOT_APPLICABLE, sentence="The run has no grader.")
        if self.found.split is None:
            return _untold(name, "The dataset could not be read.")
        if problems := check_grader(grader):
            return Check(name=name, result=FAIL, sentence=problems[0].what, fix="Change the grader.")
        report = self._tried(grader)
        return _grader_check(report, is_reward=isinstance(self.spec.recipe, GrpoRecipe))

    def _tried(self, grader: Grader) -> AttackReport:
        assert self.found.split is not None
        able = rows.gradable([*self.found.split.held_out, *self.found.split.train], grader)
        tried = [TriedRow(item=row.item, prompt=rows.in_words(row.prompt)) for row in able[:ROWS_TRIED]]
        attempts = attack_answers(grader, tried)
        outcomes = self.run.bench.grade(grader, [attempt.answer for attempt in attempts])
        return attack_report(grader, tried, attempts, outcomes)

    def reward_model(self) -> Check:
        name = CheckName.REWARD_MODEL
        wanted = sorted(map(str, reward_model_runs(self.spec.all_graders)))
        if not wanted:
            return Check(name=name, result=NOT_APPLICABLE, sentence="No grader here is a reward model.")
        missing = [run for run in wanted if run not in self.run.inputs.reward_models]
        if missing:
            return Check(
                name=name,
                result=FAIL,
                sentence=f"Run {missing[0]} has left no reward model on this worker.",
                fix="Wait until it has succeeded, or name another run that trained a reward model.",
            )
        return Check(
            name=name, result=PASS, sentence=f"{_counted(len(wanted), 'reward model')} on this worker."
        )

    def tracking(self) -> Check:
        name, wanted = CheckName.TRACKING, self.inputs.tracking
        if not wanted:
            sentence = "Metrics stay in the run’s own files; no tracking server is set."
            return Check(name=name, result=NOT_APPLICABLE, sentence=sentence)
        if self.inputs.tracking_url and (trouble := _unreachable(self.inputs.tracking_url)):
            return Check(
                name=name,
                result=WARN,
                sentence=f"The tracking server ({' and '.join(wanted)}) cannot be reached: {trouble}.",
                fix="The training goes on without it; check TUNING_FORK_WORKER_TRACKING_URL.",
            )
        return Check(name=name, result=PASS, sentence=f"Metrics also go to {' and '.join(wanted)}.")

    def disk(self) -> Check:
        weights = self.found.parameters
        checkpoint = BYTES_A_WEIGHT * weights if _trains_all(self.spec.recipe) else 4 * weights
        needed = max(self.inputs.min_free_bytes, int(CHECKPOINTS * checkpoint))
        free = self.inputs.disk_free_bytes
        enough = free >= needed
        return Check(
            name=CheckName.DISK,
            result=PASS if enough else FAIL,
            sentence=f"{size(free)} of disk free; model and checkpoints take up to {size(needed)}.",
            fix="" if enough else "Delete runs, checkpoints or datasets on the worker.",
            figures={"free_bytes": free, "needed_bytes": needed},
        )


# Data


def updates_of(recipe: Recipe, learned: int) -> int:
    """Updates that the whole training makes of `learned` rows."""
    if isinstance(recipe, GrpoRecipe):
        return recipe.steps
    if not isinstance(recipe, TrainingRecipe):
        return 0
    return max(1, round(-(-learned // recipe.batch_size) * recipe.epochs))


def leaks(split: Split) -> int:
    """Held-out rows whose prompt is also learned from, case and spacing apart."""
    learned = {_plain(row) for row in split.train}
    return sum(_plain(row) in learned for row in split.held_out)


def _plain(row: Row) -> str:
    return " ".join(rows.in_words(row.prompt).casefold().split()) or _plain_text(row)


def _plain_text(row: Row) -> str:
    """Of a text without a question, the text."""
    return " ".join((row.text or row.answer or "").casefold().split())


def _enough(recipe: Recipe, learned: Sequence[Row]) -> tuple[CheckResult, str, str]:
    if isinstance(recipe, GrpoRecipe):
        count = len(Counter(_plain(row) for row in learned))
        return _enough_prompts(count)
    what = "demonstration" if isinstance(recipe, SftRecipe) else "preference pair"
    count = len(learned)
    sentence = f"{_counted(count, what)} to learn from."
    if count < FEW_DEMONSTRATIONS:
        return FAIL, sentence, f"Bring at least {START_OF_EFFECT}; so few are learned by heart."
    if count < START_OF_EFFECT:
        return WARN, sentence, f"An effect usually shows from {START_OF_EFFECT} on."
    return PASS, sentence, ""


def _enough_prompts(count: int) -> tuple[CheckResult, str, str]:
    sentence = f"{_counted(count, 'different prompt')} to practise on."
    if count < FEW_PROMPTS:
        return FAIL, sentence, f"Bring at least {USUAL_PROMPTS} different prompts."
    if count < USUAL_PROMPTS:
        much = "far too few to generalise" if count < BARE_PROMPTS else "few"
        return WARN, sentence, f"That is {much}: {USUAL_PROMPTS} or more are usual, 200 to 2,000 comfortable."
    return PASS, sentence, ""


def _batch_in_words(recipe: Recipe) -> str:
    assert isinstance(recipe, TrainingRecipe)
    times = recipe.batch_size // recipe.micro_batch_size
    turns = "at once" if times == 1 else f"in {times} turns of {recipe.micro_batch_size}"
    if isinstance(recipe, GrpoRecipe):
        prompts = recipe.batch_size // recipe.num_generations
        asked = _counted(prompts, "prompt")
        return f"An update learns from {asked} with {recipe.num_generations} answers each, {turns}."
    what = "row" if isinstance(recipe, SftRecipe) else "pair"
    return f"An update learns from {_counted(recipe.batch_size, what)}, {turns}."


def _trains_all(recipe: Recipe) -> bool:
    return not isinstance(recipe, TrainingRecipe) or recipe.tuning.kind == "full"


# Graders


def _grader_check(report: AttackReport, *, is_reward: bool) -> Check:
    """A fault in what is only measured warns; in what is learned from it blocks."""
    name, bad = CheckName.GRADER, FAIL if is_reward else WARN
    errors = report.control.errors + sum(attack.errors for attack in report.attacks)
    figures: dict[str, float] = {"rows": report.rows, "errors": errors}
    if report.control.mean is not None:
        figures["right_answers"] = report.control.mean
    sentence = " ".join(report.findings)
    if report.control.errors:
        failed = _counted(report.control.errors, "right answer")
        told = f"The grader failed on {failed} of {report.rows} rows: {report.control.why}"
        return Check(
            name=name,
            result=FAIL,
            sentence=_ended(told),
            fix="Mend the grader and try it on its page.",
            figures=figures,
        )
    fixes = {
        "gameable": (bad, "Tighten the grader until such answers earn nothing; its page shows each of them."),
        "unclear": (WARN, "Try the grader on answers that you know to be right."),
        "holds": (PASS, ""),
    }
    result, fix = fixes[report.verdict]
    return Check(name=name, result=result, sentence=sentence, fix=fix, figures=figures)


def _unreachable(url: str) -> str:
    try:
        httpx.get(url, timeout=TRACKING_SECONDS, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error)[:200] or type(error).__name__
    return ""


# Words


def _untold(name: CheckName, why: str) -> Check:
    return Check(name=name, result=NOT_APPLICABLE, sentence=why)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _amount(parameters: int) -> str:
    for unit, word in ((1e9, "billion"), (1e6, "million")):
        if parameters >= unit:
            return f"{parameters / unit:.3g} {word}"
    return f"{parameters:,}"


def size(count: float) -> str:
    for unit, word in ((1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:.3g} {word}"
    return f"{count / 1e3:.3g} kB"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _ended(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
