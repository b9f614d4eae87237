"""The advisor against published projects whose right method is known, beside three simpler rules.

    make calibrate
    python -m benchmarks.calibration --also cases.json

Prints how often method and plan were right on forty projects, and on others that no weight was set by;
each miss with what caused it and, last, one line of JSON. `--also` adds a team's own confirmed decisions,
as `tuning-fork confirmations export` writes them.
"""

import argparse
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from app.advisor.advice import Contribution, Recommendation
from app.advisor.answers import Project
from app.advisor.recommendation import recommend
from app.advisor.rulebook import Rulebook
from app.errors import InvalidInput
from app.graders.comparison import wilson
from app.main import read_rulebook

FOLDER = Path(__file__).parents[1] / "tests" / "calibration"
CASES, HELD_OUT = FOLDER / "cases.toml", FOLDER / "held_out.toml"

Method = Literal["sft", "grpo"]
METHODS: Mapping[str, Method] = {"sft": "sft", "grpo": "grpo", "sft_then_grpo": "grpo"}
"""What an outcome means where only two words are allowed; `neither` is scored apart."""

PLANS = {"reward_model_then_grpo": "grpo"}
"""Published outcomes name the stages of the model itself; a reward model is part of the score."""
OUTCOME_PLANS = {"neither": "not_yet"}

CONFIDENCES = ("high", "medium", "low")

CAVEAT = (
    "Outcomes were known to whoever encoded the answers, and most of these projects are among those that\n"
    "the rules were drawn from. This shows whether rules and record agree; it does not say how the advice\n"
    "will do on new projects."
)


HELD_OUT_CAVEAT = (
    "Published projects that no weight was set by, encoded before the advisor was asked. Rulebook 1.2.0,\n"
    "which had not seen them, was right in 32 of 36 (25 of 28 with high confidence). Two of its misses led\n"
    "to rules of 1.3.0, so the figures below are no longer blind."
)


@dataclass(frozen=True)
class Case:
    id: str
    title: str
    source: str
    outcome: str
    confidence: str
    answers: Mapping[str, Mapping[str, Any]]
    measurements: Mapping[str, float] = field(default_factory=dict)

    @property
    def method(self) -> Method | None:
        return METHODS.get(self.outcome)

    @property
    def plan(self) -> str:
        return OUTCOME_PLANS.get(self.outcome, self.outcome)

    def choice(self, question: str) -> str | None:
        """None while unknown."""
        return self.answers.get(question, {}).get("choice")


@dataclass(frozen=True)
class Judged:
    case: Case
    advice: Recommendation

    @property
    def plan(self) -> str:
        return PLANS.get(self.advice.plan.id, self.advice.plan.id)

    @property
    def method_right(self) -> bool:
        return self.advice.method == self.case.method

    @property
    def plan_right(self) -> bool:
        return self.plan == self.case.plan


def read_cases(file: Path = CASES) -> list[Case]:
    return [Case(**case) for case in tomllib.loads(file.read_text(encoding="utf-8"))["cases"]]


def judge(cases: Sequence[Case], rulebook: Rulebook) -> list[Judged]:
    return [Judged(case, recommend(project_of(case, rulebook), rulebook)) for case in cases]


def project_of(case: Case, rulebook: Rulebook) -> Project:
    return rulebook.read({"answers": case.answers, "measurements": case.measurements})


def without(question: str, cases: Sequence[Case]) -> list[Case]:
    """How much hangs on one answer: the same cases with that question unknown."""
    return [
        replace(case, answers={key: answer for key, answer in case.answers.items() if key != question})
        for case in cases
    ]


# Simpler rules on the same answers

Line = tuple[str, Method, Mapping[str, set[str]]]

POPULAR: tuple[Line, ...] = (
    ("domain adaptation", "sft", {"O1": {"domain_behaviour", "new_facts"}}),
    (
        "consistent format and style",
        "sft",
        {
            "O1": {"tone_or_voice", "output_format"},
            "P1": {"constrained_decoding", "validator_only", "fixed_voice_rules"},
        },
    ),
    ("predictable outputs", "sft", {"O2": {"one"}}),
    ("safety and low risk", "sft", {"O1": {"safety_or_refusal"}, "S1": {"unacceptable"}}),
    (
        "reasoning",
        "grpo",
        {"O1": {"multi_step_reasoning", "code_or_sql", "tool_agent", "self_correction"}},
    ),
    (
        "subjective quality",
        "grpo",
        {
            "O1": {"preference"},
            "O2": {"many_not_checkable"},
            "D7": {"only_pairs", "pairs_and_examples"},
        },
    ),
    ("instability is tolerated", "grpo", {"S1": {"recoverable", "harmless"}}),
    ("business numbers", "grpo", {"O1": {"measurable_kpi"}, "D3": {"logged_outcome", "delayed_kpi"}}),
)
"""The eight lines that are passed around; one counts where any of its answers was given."""


def popular(case: Case) -> Method:
    """Lines counted; a tie goes to SFT, as it does in the advisor."""
    votes = Counter(method for _, method, wanted in POPULAR if _counts(case, wanted))
    return "grpo" if votes["grpo"] > votes["sft"] else "sft"


def _counts(case: Case, wanted: Mapping[str, set[str]]) -> bool:
    return any(case.choice(question) in choices for question, choices in wanted.items())


def checker_and_thinking(case: Case) -> Method:
    checked = case.choice("D3") in ("exact_match", "run_it")
    return "grpo" if checked and case.choice("O5") == "helps_and_allowed" else "sft"


def majority(cases: Iterable[Case]) -> Callable[[Case], Method]:
    counted = Counter(case.method for case in cases if case.method)
    most: Method = "grpo" if counted["grpo"] > counted["sft"] else "sft"
    return lambda case: most


# Figures


def shares(scored: Iterable[tuple[str, bool]]) -> dict[str, Any]:
    """From pairs of confidence and being right."""
    scored = list(scored)
    groups = {name: [right for confidence, right in scored if confidence == name] for name in CONFIDENCES}
    groups["all"] = [right for _, right in scored]
    return {name: {"right": sum(rights), "of": len(rights)} for name, rights in groups.items()}


def brier(trained: Sequence[Judged]) -> float:
    return _mean([(one.advice.acceptability.near - (one.case.method == "grpo")) ** 2 for one in trained])


def brier_of_base_rate(trained: Sequence[Judged]) -> float:
    rate = _mean([one.case.method == "grpo" for one in trained])
    return rate * (1 - rate)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def confusion(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Published, then advised."""
    table: dict[str, dict[str, int]] = {}
    for (published, advised), count in sorted(Counter(pairs).items()):
        table.setdefault(published, {})[advised] = count
    return table


COPYING = "D8"
"""Whether copying would be enough: the answer nearest to the verdict, easily given in hindsight."""


def figures(judged: Sequence[Judged], rulebook: Rulebook) -> dict[str, Any]:
    trained = [one for one in judged if one.case.method]
    unasked = judge(without(COPYING, [one.case for one in trained]), rulebook)
    neither = [one for one in judged if not one.case.method]
    rules = {
        "popular_rulebook": popular,
        "checker_and_thinking": checker_and_thinking,
        "majority": majority(one.case for one in trained),
    }
    return {
        "cases": len(judged),
        "rulebook": rulebook.version,
        "method": shares((one.case.confidence, one.method_right) for one in trained),
        "method_without_copying_question": shares((one.case.confidence, one.method_right) for one in unasked),
        "plan": shares((one.case.confidence, one.plan_right) for one in judged),
        "confusion": confusion((one.case.method or "", one.advice.method) for one in trained),
        "plan_confusion": confusion((one.case.plan, one.plan) for one in judged),
        "brier": round(brier(trained), 4),
        "brier_of_base_rate": round(brier_of_base_rate(trained), 4),
        "baselines": {
            name: shares((one.case.confidence, rule(one.case) == one.case.method) for one in trained)
            for name, rule in rules.items()
        },
        "neither": {
            "of": len(neither),
            "ready": sum(one.advice.readiness == "ready" for one in neither),
            "not_yet": sum(one.advice.plan.id == "not_yet" for one in neither),
        },
        "method_misses": [one.case.id for one in trained if not one.method_right],
        "plan_misses": [one.case.id for one in judged if not one.plan_right],
    }


# Printing


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def accuracy_table(told: Mapping[str, Any]) -> str:
    names = {
        "popular_rulebook": "popular rulebook, lines counted",
        "checker_and_thinking": "checker exists and thinking helps: GRPO",
        "majority": "always the majority",
    }
    rows = [
        ("advisor, method", told["method"]),
        (f"advisor, method, with {COPYING} unknown", told["method_without_copying_question"]),
    ]
    rows += [(names[name], scored) for name, scored in told["baselines"].items()]
    rows += [("advisor, plan (with the neither cases)", told["plan"])]
    columns = (*CONFIDENCES, "all")
    return table(
        ["right of all", *columns],
        [[name, *(_share(scored[column]) for column in columns)] for name, scored in rows],
    )


def _share(scored: Mapping[str, int]) -> str:
    right, whole = scored["right"], scored["of"]
    return f"{right}/{whole} ({right / whole:.0%})" if whole else "none"


def confusion_table(counted: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> str:
    rows = [[name, *(str(counted.get(name, {}).get(other, 0)) for other in names)] for name in names]
    return table(["published \\ advised", *names], rows)


def method_miss(one: Judged) -> str:
    advice = one.advice
    towards = 1 if advice.method == "grpo" else -1
    gates = [gate.id for gate in advice.gates if gate.state == "holds" and gate.effect == "block"]
    parts = [part for part in advice.contributions if part.contribution]
    wrong = [part for part in parts if part.contribution * towards > 0]
    other = [part for part in parts if part.contribution * towards < 0]
    return "\n".join(
        [
            f"{one.case.title} ({one.case.source}; {one.case.confidence})",
            f"  published {one.case.outcome}, advised {advice.plan.id}; lean {advice.lean:+.3f}, "
            f"decided by {advice.decided_by}" + (f" ({', '.join(gates)})" if gates else ""),
            f"  caused it: {_parts(wrong)}",
            f"  against it: {_parts(other)}",
            f"  unknown: {', '.join(unknown.question for unknown in advice.unknowns)}",
        ]
    )


def _parts(parts: Sequence[Contribution]) -> str:
    strongest = sorted(parts, key=lambda part: -abs(part.contribution))
    said = [f"{part.question} {part.choice} {part.contribution:+.3f}" for part in strongest]
    return ", ".join(said) or "nothing"


START = ("D1", "D5", "O6")
"""What a plan's stages depend on besides the method."""


def plan_miss(one: Judged) -> str:
    known = ", ".join(f"{question} {one.case.choice(question) or 'unknown'}" for question in START)
    return f"{one.case.title}: published {one.case.plan}, advised {one.plan}; {known}"


def neither_line(one: Judged) -> str:
    blockers = ", ".join(gate.id for gate in one.advice.blockers) or "nothing"
    return f"{one.case.title}: {one.advice.readiness}, plan {one.advice.plan.id}; held up by {blockers}"


def report(judged: Sequence[Judged], told: Mapping[str, Any], caveat: str) -> str:
    trained = [one for one in judged if one.case.method]
    neither = [one for one in judged if not one.case.method]
    wrong_plans = [one for one in trained if one.method_right and not one.plan_right]
    plans = ("sft", "grpo", "sft_then_grpo", "not_yet")
    score = (
        f"Brier score of the acceptability: {told['brier']:.3f}; of always saying the base rate: "
        f"{told['brier_of_base_rate']:.3f}.\nExploratory: acceptability is the share of weightings near the "
        "usual ones under which GRPO leads,\nbefore gates. It is robustness, not a forecast."
    )
    sections = [
        (f"{told['cases']} published projects, rulebook {told['rulebook']}", [caveat]),
        ("Accuracy by confidence", [accuracy_table(told)]),
        ("Method", [confusion_table(told["confusion"], ("sft", "grpo"))]),
        ("Plan", [confusion_table(told["plan_confusion"], plans)]),
        ("Acceptability", [score]),
        ("Neither method: must never be ready", map(neither_line, neither)),
        (
            "Method missed, with the contributions",
            [method_miss(one) for one in trained if not one.method_right],
        ),
        ("Method right, plan missed", map(plan_miss, wrong_plans)),
    ]
    return "\n\n".join("\n".join([title, "-" * len(title), *lines]) for title, lines in sections)


# A team's own history

NOT_KNOWN = "not_known"
"""An outcome that does not tell which method would have been right."""

OWN_CAVEAT = (
    "Your own confirmed decisions. A run that held shows that its method worked, and rarely that the other\n"
    "would not have; decisions that nobody confirmed are not here."
)


def read_own(file: Path) -> list[Case]:
    told = json.loads(file.read_text(encoding="utf-8"))
    if told.get("format") != "tuning-fork-cases":
        raise SystemExit(
            f"{file} holds no calibration cases: write it with `tuning-fork confirmations export`."
        )
    return [Case(**case) for case in told["cases"]]


def readable(cases: Iterable[Case], rulebook: Rulebook) -> tuple[list[Case], list[str]]:
    """Cases whose answers this rulebook takes, and why the others are left out."""
    kept, left_out = [], []
    for case in cases:
        try:
            project_of(case, rulebook)
            kept.append(case)
        except InvalidInput as error:
            left_out.append(f"{case.title}: {'; '.join(problem.what for problem in error.problems)}")
    return kept, left_out


def own_figures(judged: Sequence[Judged], left_out: Sequence[str]) -> dict[str, Any]:
    known = [one for one in judged if one.case.method]
    right, of = sum(one.method_right for one in known), len(known)
    reach = wilson(right, of)
    return {
        "cases": len(judged) + len(left_out),
        "not_known": sum(one.case.outcome == NOT_KNOWN for one in judged),
        "not_read": len(left_out),
        "method": shares((one.case.confidence, one.method_right) for one in known),
        "interval": [round(reach.low, 4), round(reach.high, 4)],
        "plan": shares((one.case.confidence, one.plan_right) for one in known),
        "popular_rulebook": shares(
            (one.case.confidence, popular(one.case) == one.case.method) for one in known
        ),
        "method_misses": [one.case.id for one in known if not one.method_right],
    }


def own_report(judged: Sequence[Judged], told: Mapping[str, Any], left_out: Sequence[str]) -> str:
    rows = [
        ("advisor, method", "method"),
        ("advisor, plan", "plan"),
        ("popular rulebook", "popular_rulebook"),
    ]
    columns = (*CONFIDENCES, "all")
    low, high = told["interval"]
    head = f"Your own history: {told['cases']} confirmed decisions"
    return "\n\n".join(
        [
            "\n".join([head, "-" * len(head), OWN_CAVEAT]),
            table(
                ["right of all", *columns],
                [[name, *(_share(told[key][column]) for column in columns)] for name, key in rows],
            ),
            f"Interval of the method, 95 %: {low:.0%} to {high:.0%}. Not known which was right: "
            f"{told['not_known']}. Not read by this rulebook: {told['not_read']}.",
            *[method_miss(one) for one in judged if one.case.method and not one.method_right],
            *left_out,
        ]
    )


def main(arguments: Sequence[str] = ()) -> None:
    asked = argparse.ArgumentParser(description="The advisor against projects whose right method is known.")
    asked.add_argument("--also", type=Path, help="your own confirmed decisions, exported as cases")
    also: Path | None = asked.parse_args(list(arguments)).also
    rulebook = read_rulebook()
    judged, held_out = (judge(read_cases(file), rulebook) for file in (CASES, HELD_OUT))
    told, told_held_out = figures(judged, rulebook), figures(held_out, rulebook)
    print(report(judged, told, CAVEAT))
    print(f"\n\n{report(held_out, told_held_out, HELD_OUT_CAVEAT)}\n")
    own: dict[str, Any] = {}
    if also:
        kept, left_out = readable(read_own(also), rulebook)
        judged_own = judge(kept, rulebook)
        own = {"own": own_figures(judged_own, left_out)}
        print(f"\n{own_report(judged_own, own['own'], left_out)}\n")
    print(json.dumps(told | {"held_out": told_held_out} | own))


if __name__ == "__main__":
    main(sys.argv[1:])
