"""What a dataset's profile says about the data questions: each suggestion with the figure that it rests on.

A dataset says nothing about what it lacks a figure for, and a figure that only might answer a question
proposes nothing: docs/decisions/0072.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from app.advisor.advice import Recommendation
from app.protocol import Checkable, Content, DatasetSummary, Lengths, Maker, Profile, Shift
from app.web.proposing import Suggestion

DEMONSTRATIONS = (
    (1_000, "1000_or_more"),
    (300, "300_to_999"),
    (100, "100_to_299"),
    (50, "50_to_99"),
    (10, "10_to_49"),
    (0, "under_10"),
)
PROMPTS = ((500, "500_or_more"), (200, "200_to_499"), (50, "50_to_199"), (10, "10_to_49"), (0, "under_10"))
"""The ranges of D1 and D6, from the largest."""

NEARLY_ALL = 0.9
"""Of the rows must say what is taken for all of them."""
OFTEN_SEVERAL = 0.2
"""Of the prompts have several answers where that is no accident."""
FEWEST_ANSWERED = 10
FEW_WORDS = 10
"""Tokens of an answer that can be compared letter by letter."""
ALIKE, UNLIKE = 0.6, 0.8
"""Shares of prompts put in the right part. Chance alone reaches 0.6 with a hundred prompts."""

KNOWN_RESULT = frozenset(
    {
        "answer", "correct", "expected", "final_answer", "gold", "ground_truth", "label", "output",
        "reference", "result", "ruling", "solution", "target", "verdict",
    }
)  # fmt: skip
"""Fields that are the result, and not a number or label beside it."""
TESTS = frozenset({"test", "test_cases", "test_list", "tests", "unit_tests"})
DATABASES = frozenset({"create_table", "database", "db", "db_id", "schema", "tables"})

EXPERTS = frozenset({"domain expert", "expert", "experts", "human expert", "subject matter expert", "sme"})
LOGS = frozenset({"chat logs", "log", "logs", "production", "production logs", "traffic", "user logs"})
MODELS = frozenset({"ai", "generated", "llm", "model", "synthetic"})
NO_MODEL = frozenset({"", "human", "humans", "n/a", "no", "none", "null", "people", "person"})
MODEL_FIELDS = frozenset({"generated_by", "generator", "model", "model_name", "teacher"})


@dataclass(frozen=True)
class Inspection:
    """One dataset, for one project."""

    summary: DatasetSummary
    profile: Profile
    content: Content
    has_examples: bool
    """Whether the project has demonstrations besides."""
    has_checker: bool
    limit: int | None
    """Tokens at which a sampled answer is cut off, as far as that is known."""
    whose_limit: str

    def suggestions(self) -> list[Suggestion]:
        found = [
            self._demonstrations(),
            self._makers(),
            self._checker(),
            self._prompts(),
            self._preferences(),
            self._several(),
            self._shift(),
            *self._measurements(),
        ]
        return [each for each in found if each]

    # Data

    def _demonstrations(self) -> Suggestion | None:
        """Pairs and texts might be made into demonstrations, or not."""
        if self.summary.preferences or self.summary.texts:
            return None
        content, rows = self.content, self.summary.rows
        if not content.answered:
            return _inspected("D1", "under_10", f"None of the {rows:,} rows ends with an answer.")
        unusable = content.answered - content.demonstrations
        said = f"{content.answered:,} of {rows:,} rows end with an answer"
        said += f"; {unusable:,} of them repeat another row or lack a value." if unusable else "."
        return _inspected("D1", _range(content.demonstrations, DEMONSTRATIONS), said)

    def _makers(self) -> Suggestion | None:
        for field in sorted({maker.field for maker in self.content.makers}):
            makers = [maker for maker in self.content.makers if maker.field == field]
            for kind, is_it in (("experts", _is_expert), ("logs", _is_log), ("model", _is_model)):
                named = [maker for maker in makers if is_it(maker)]
                if sum(maker.rows for maker in named) >= NEARLY_ALL * self.content.answered:
                    return self._made_by(kind, named)
        return None

    def _made_by(self, kind: str, makers: Sequence[Maker]) -> Suggestion:
        content = self.content
        others = f" and {len(makers) - 1} more" if len(makers) > 1 else ""
        said = (
            f"`{makers[0].field}` says “{makers[0].value}”{others} in "
            f"{sum(each.rows for each in makers):,} of {content.answered:,} rows with an answer."
        )
        if kind != "model":
            return _inspected("D2", "expert_verified" if kind == "experts" else "raw_logs", said)
        said += f" {content.checked or 'None'} of them say that they were checked."
        if content.checked < NEARLY_ALL * content.answered:
            return _inspected("D2", "weaker_or_unknown", said)
        said += " Whether the model is stronger than yours, and its terms allow it, only you know."
        return _inspected("D2", "stronger_model_checked", said)

    @cached_property
    def _known_result(self) -> Checkable | None:
        """What a program could compare an answer with, in nearly all rows."""
        fit = (each for each in self.profile.checkable if each.field in KNOWN_RESULT)
        sure = [each for each in fit if each.share >= NEARLY_ALL and self._can_settle(each)]
        return max(sure, key=lambda each: (each.share, each.field != "reference"), default=None)

    def _can_settle(self, each: Checkable) -> bool:
        """Code needs tests, and a query something to run on: two that differ can both be right.

        An answer that never changes tells nothing, and one of many words is seldom met letter by letter.
        """
        if each.commonest is not None and each.commonest >= NEARLY_ALL:
            return False
        if each.kind == "short_text" and each.field == "reference":
            return self._answers_have_few_words()
        needed = {"code": TESTS, "sql": DATABASES}.get(each.kind)
        return needed is None or not needed.isdisjoint(self.summary.item_fields)

    def _answers_have_few_words(self) -> bool:
        lengths = self.profile.answer
        return lengths is not None and lengths.p90 <= FEW_WORDS

    def _checker(self) -> Suggestion | None:
        if (result := self._known_result) is None:
            return None
        looked_at = round(result.rows / result.share)
        where = "the answer" if result.field == "reference" else f"`{result.field}`"
        said = f"In {result.rows:,} of {looked_at:,} rows looked at, {where} {_RESULTS[result.kind]}."
        return _inspected("D3", "run_it" if result.kind in ("code", "sql") else "exact_match", said)

    def _prompts(self) -> Suggestion | None:
        content = self.content
        if not content.prompts:
            return None
        said = f"{content.prompts:,} different prompts in {self.summary.rows:,} rows"
        if content.near_prompts:
            compared = self.profile.compared_rows
            among = "" if compared >= self.summary.rows else f" of {compared:,} compared"
            said += f"; {content.near_prompts:,}{among} ask nearly what another asks, and do not count"
        return _inspected("D6", _range(content.prompts - content.near_prompts, PROMPTS), f"{said}.")

    def _preferences(self) -> Suggestion | None:
        """A file without pairs does not say that there are none elsewhere."""
        if not self.content.pairs or (self.has_checker and not self.has_examples):
            return None
        said = f"{self.content.pairs:,} of {self.summary.rows:,} rows prefer one answer to another."
        if self.has_examples:
            return _inspected(
                "D7", "pairs_and_examples", f"{said} There are demonstrations besides, by your answers."
            )
        return _inspected(
            "D7", "only_pairs", f"{said} They hold no ideal answers, and nothing to check one by."
        )

    # Objective

    def _several(self) -> Suggestion | None:
        """Several labels or numbers for one prompt are a mistake, not many good answers."""
        several, result = self.content.several, self._known_result
        if several is None or (result and result.kind in ("label", "number")):
            return None
        if several.answered < FEWEST_ANSWERED or several.prompts < OFTEN_SEVERAL * several.answered:
            return None
        said = (
            f"{several.prompts:,} of {several.answered:,} prompts have several different answers, "
            f"typically {several.typical:g}."
        )
        if several.typical <= 3:
            return _inspected("O2", "few", said)
        return _inspected("O2", "many_checkable" if result else "many_not_checkable", said)

    def _shift(self) -> Suggestion | None:
        if (shift := self.content.shift) is None:
            return None
        choice = "no" if shift.told_apart < ALIKE else "some" if shift.told_apart <= UNLIKE else "strongly"
        return _inspected("O3", choice, _apart(shift))

    # Measurements

    def _measurements(self) -> Iterator[Suggestion | None]:
        yield self._shared_rows()
        yield self._lucky_hits()
        yield self._answer_length()

    def _shared_rows(self) -> Suggestion | None:
        if not self.summary.held_out:
            return None
        leaks = sum(each.rows for each in self.profile.findings if each.kind == "leaks")
        count = f"{leaks:,}" if leaks else "None"
        said = (
            f"{count} of the training rows ask what one of the {self.summary.held_out:,} held-out rows asks."
        )
        return Suggestion("shared_rows", leaks, said)

    def _lucky_hits(self) -> Suggestion | None:
        result = self._known_result
        if result is None or result.commonest is None or result.kind in ("code", "sql"):
            return None
        where = "answer" if result.field == "reference" else f"`{result.field}`"
        said = (
            f"Always giving the commonest {where} would be right in {_percent(result.commonest)} of the rows."
        )
        return Suggestion("lucky_hit_rate", round(result.commonest, 4), said)

    def _answer_length(self) -> Suggestion | None:
        lengths: Lengths | None = self.profile.answer
        if lengths is None or lengths.p95 is None or not self.limit:
            return None
        counted = (
            f"counted by the tokenizer of {self.profile.tokenizer}"
            if self.profile.exact_tokens
            else "estimated"
        )
        said = (
            f"19 in 20 answers have at most {lengths.p95:,} tokens, {counted}; "
            f"{self.whose_limit} is {self.limit:,}."
        )
        return Suggestion("answer_length_share", round(lengths.p95 / self.limit, 4), said)


def limit_of(advice: Recommendation) -> int | None:
    """Where the recommended plan would cut a sampled answer off."""
    settings = (each for stage in advice.plan.stages if stage.method == "grpo" for each in stage.recipe)
    found = next((each.value for each in settings if each.name == "max_completion_length"), None)
    return found if isinstance(found, int) else None


def _inspected(question: str, choice: str, because: str) -> Suggestion:
    return Suggestion(question, {"choice": choice, "basis": "inspected"}, because)


def _range(count: int, ranges: Sequence[tuple[int, str]]) -> str:
    return next(choice for least, choice in ranges if count >= least)


def _percent(share: float) -> str:
    return f"{100 * share:.3g}\N{NO-BREAK SPACE}%"


_RESULTS = {
    "number": "is a number or ends in one, which a program compares with the known one",
    "label": "is one of a few labels, which a program compares",
    "json": "is a JSON record, which a program compares field by field",
    "short_text": "is a short text, which a program compares letter by letter",
    "sql": "is SQL, and a field says what to run it on",
    "code": "is code, and a field holds tests to run",
}


def _apart(shift: Shift) -> str:
    parts = {
        "splits": "prompts of the other splits from those for training",
        "held_out": "held-out prompts from the others",
        "prompts": "prompts without an answer from those with one",
    }
    return (
        f"By words and length alone, a program tells {parts[shift.between]} in "
        f"{_percent(shift.told_apart)} of {2 * shift.rows:,} cases; half would be chance."
    )


def _plain(maker: Maker) -> str:
    return " ".join(maker.value.lower().replace("_", " ").replace("-", " ").split())


def _is_expert(maker: Maker) -> bool:
    return _plain(maker) in EXPERTS


def _is_log(maker: Maker) -> bool:
    return _plain(maker) in LOGS


def _is_model(maker: Maker) -> bool:
    return _plain(maker) in MODELS or (maker.field in MODEL_FIELDS and _plain(maker) not in NO_MODEL)
