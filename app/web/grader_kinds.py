"""The twelve kinds of grader as the form offers them: what each does, when to use it, and how it is gamed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Choices = tuple[tuple[str, str], ...]

FieldKind = Literal[
    "text", "area", "json", "choice", "number", "whole", "yes_no", "messages", "grader", "graders"
]


@dataclass(frozen=True)
class Field:
    name: str
    """As in the grader's schema."""
    label: str
    hint: str = ""
    kind: FieldKind = "text"
    default: str = ""
    optional: bool = False
    """An empty one is left out, so that the schema's own default counts."""
    choices: Choices = ()


@dataclass(frozen=True)
class Kind:
    type: str
    title: str
    sentence: str
    example: str
    when: str
    weakness: str
    fields: tuple[Field, ...]


INPUT = Field(
    "input",
    "What is graded",
    "Usually the whole answer. Names in double braces are filled in: {{ sample.output_text }}, {{ item.x }}.",
    default="{{ sample.output_text }}",
)


def _reference(
    hint: str = "A text, or a field of the row, as {{ item.answer }}.", optional: bool = False
) -> Field:
    return Field(
        "reference", "Reference", hint, default="" if optional else "{{ item.answer }}", optional=optional
    )


def _threshold(default: str) -> Field:
    return Field(
        "pass_threshold",
        "Counts as right from",
        "Between 0 and 1. Training uses the score itself; this decides what evaluations call right.",
        "number",
        default,
    )


STRING_CHECK = Kind(
    "string_check",
    "Compare text",
    "Pays 1 if the answer equals, differs from or contains the reference, else 0.",
    "The answer “valid” equals {{ item.answer }}.",
    "Labels, codes and short exact answers.",
    "“Contains” is gamed by listing every possibility; “equals” fails a right answer that is worded or "
    "spaced "
    "differently.",
    (
        Field(
            "operation",
            "Comparison",
            kind="choice",
            default="eq",
            choices=(
                ("eq", "Equals"),
                ("ne", "Differs from"),
                ("like", "Contains"),
                ("ilike", "Contains, in any case"),
            ),
        ),
        _reference(),
        INPUT,
    ),
)

TEXT_SIMILARITY = Kind(
    "text_similarity",
    "Similar text",
    "Pays 0 to 1 for how near the answer comes to a reference text.",
    "ROUGE-L of the answer against {{ item.reference }}.",
    "Summaries and rewrites, where shared wording is a fair stand-in for quality.",
    "It rewards wording, not truth: one “not” too many costs almost nothing, and copying the prompt "
    "often scores.",
    (
        Field(
            "evaluation_metric",
            "Measure",
            "Fuzzy match compares characters, BLEU and GLEU word sequences, ROUGE how much of the "
            "reference returns.",
            "choice",
            "fuzzy_match",
            choices=(
                ("fuzzy_match", "Fuzzy match"),
                ("bleu", "BLEU"),
                ("gleu", "GLEU"),
                ("rouge_1", "ROUGE-1"),
                ("rouge_2", "ROUGE-2"),
                ("rouge_3", "ROUGE-3"),
                ("rouge_4", "ROUGE-4"),
                ("rouge_5", "ROUGE-5"),
                ("rouge_l", "ROUGE-L"),
            ),
        ),
        Field("reference", "Reference", "A text, or a field of the row.", default="{{ item.reference }}"),
        _threshold("0.8"),
        INPUT,
    ),
)

REGEX = Kind(
    "regex",
    "Find and compare",
    "Finds a part of the answer by a pattern and pays 1 if it equals the reference.",
    r"The last “Ruling: (\w+)” equals {{ item.answer }}.",
    "A final answer inside a longer text: reasoning first, then a line in a fixed form.",
    "With “any match”, listing every possibility passes; a pattern that is too narrow calls right "
    "answers wrong.",
    (
        Field(
            "pattern",
            "Pattern",
            "RE2 syntax: no look-around, no back-references. The first group, or the whole match, is "
            "compared.",
        ),
        Field(
            "match",
            "Which match counts",
            kind="choice",
            default="last",
            choices=(("last", "The last one"), ("first", "The first one"), ("any", "Any of them")),
        ),
        _reference("A text or a field, as {{ item.answer }}. Empty: any match is right.", optional=True),
        INPUT,
    ),
)

MATH = Kind(
    "math",
    "Mathematical answer",
    "Pays 1 if the last number or formula of the answer equals the reference in value.",
    r"“1/2”, “0.5” and “\frac{1}{2}” are the same answer.",
    "Calculations whose result is one number or expression.",
    "It sees the result, not the way: small whole numbers are guessed, and wrong reasoning that ends "
    "right pays.",
    (_reference("The right result, as {{ item.answer }}."), INPUT),
)

JSON_SCHEMA = Kind(
    "json_schema",
    "JSON of a given shape",
    "Pays 1 if the answer is JSON that a schema accepts, else 0.",
    "An object with a “name” and a whole “age” of at least 0.",
    "The form of structured output; its content needs a second grader beside it.",
    "It sees the shape only: one constant object that fits earns full score. For shape alone, constrained "
    "decoding needs no training.",
    (
        Field(
            "schema",
            "JSON Schema",
            "Draft 2020-12. References may only stay inside the schema.",
            "json",
            '{\n  "type": "object",\n  "required": ["name"],\n'
            '  "properties": {"name": {"type": "string"}}\n}',
        ),
        INPUT,
    ),
)

SQL = Kind(
    "sql",
    "SQL query",
    "Pays 1 if the answer is a query that parses; with a database, if it returns what the reference "
    "query returns.",
    "The answer and {{ item.query }} return the same rows from the fixture.",
    "Text-to-SQL.",
    "Without a fixture any query passes; with few rows in it a wrong query often returns the right ones "
    "by luck.",
    (
        Field(
            "fixture",
            "Database",
            "SQLite statements that build it: CREATE TABLE, INSERT. Cover the cases that tell right from "
            "wrong.",
            "area",
            optional=True,
        ),
        Field(
            "reference",
            "Right query",
            "As {{ item.query }}. Needed with a database.",
            optional=True,
        ),
        Field("ordered", "The order of the rows counts", kind="yes_no"),
        INPUT,
    ),
)

PYTHON = Kind(
    "python",
    "Python program",
    "Your own function grade(sample, item) returns the score, run in a sandbox without files or network.",
    "Adds 0.5 for the right sum and 0.5 for showing the steps.",
    "Whatever no other kind can say; partial credit.",
    "Its bugs become the goal. In one study a model found the hole in its tests within a hundred steps, in "
    "every run.",
    (
        Field(
            "source",
            "Program",
            'sample["output_text"] is the answer, item the row’s fields. Return a number, or None to '
            "abstain.",
            "area",
            'def grade(sample, item):\n    given = sample["output_text"].strip()\n'
            '    return 1.0 if given == item["answer"] else 0.0\n',
        ),
        Field(
            "sandbox",
            "Sandbox",
            "",
            "choice",
            "monty",
            choices=(
                ("monty", "monty: a small Python, under a millisecond an answer"),
                ("cage", "cage: all of Python, one process a batch"),
            ),
        ),
        Field(
            "low",
            "Lowest score",
            "From −1. Scores are clipped to this range, and it becomes 0 to 1.",
            "number",
            "0",
        ),
        Field("high", "Highest score", "Up to 1.", "number", "1"),
        _threshold("1"),
    ),
)

SCORE_MODEL = Kind(
    "score_model",
    "Judge",
    "A language model, at the endpoint that the worker’s operator set, scores the answer by your "
    "instructions.",
    "“Score 1 point for each of these five facts that the answer states.”",
    "Quality that no program can tell, with a checklist of yes-or-no points rather than one overall mark.",
    "A judge may pay for nothing at all: a lone “:” or an opener such as “Let’s solve this step by step” "
    "can pass. "
    "Check it "
    "against experts.",
    (
        Field(
            "input",
            "Messages",
            "What the judge reads. Put the answer in with {{ sample.output_text }}, and say what earns "
            "points.",
            "messages",
        ),
        Field("range.low", "Lowest score", "That the judge may give.", "number", "0"),
        Field("range.high", "Highest score", "The range becomes 0 to 1.", "number", "1"),
        Field("model", "Model", "Empty: the endpoint’s own.", optional=True),
        _threshold("0.5"),
    ),
)

REWARD_MODEL = Kind(
    "reward_model",
    "Reward model",
    "A model trained on preference pairs by an earlier run scores how likely people would prefer the answer.",
    "The reward model of the run “Tone, pairs of March”.",
    "Preferences without a rubric, once its held-out agreement is at least 0.6, better 0.8.",
    "Trained against for long, its score goes on rising while quality falls, sooner for small models. "
    "Keep an "
    "independent grader beside it.",
    (
        Field("run", "Run", "The finished reward-model run.", "choice"),
        _threshold("0.5"),
    ),
)

LENGTH = Kind(
    "length",
    "Length",
    "Pays 1 inside the bounds, falling to nothing at half the lower and twice the upper bound.",
    "Between 20 and 120 words.",
    "As a small part of a “several in one” grader, against answers that grow.",
    "Alone it pays for any text of the right length: much of what preference training gains is length.",
    (
        Field("low", "At least", "0 for no lower bound.", "whole", "0"),
        Field("high", "At most", "", "whole", "120"),
        Field(
            "unit",
            "Counted in",
            kind="choice",
            default="words",
            choices=(("words", "Words"), ("characters", "Characters")),
        ),
        INPUT,
    ),
)

SELF_CORRECTION = Kind(
    "self_correction",
    "Draft and revision",
    "Grades a first attempt and the final answer; mending a wrong draft pays most, spoiling a right one "
    "least.",
    "The first “Draft: …” and the last “Ruling: …” are both compared with {{ item.answer }}.",
    "Tasks in which the model should check and correct itself.",
    "Since mending pays more than being right at once, a model can learn to err first on purpose: watch the "
    "share of right drafts.",
    (
        Field("draft", "Grader of the draft", "Grades the first attempt inside the answer.", "grader"),
        Field("final", "Grader of the final answer", "Grades the answer’s last word.", "grader"),
        Field("mended", "Pays for a mended draft", "", "number", "1"),
        Field("kept_right", "Pays for right from the start", "", "number", "0.8"),
        Field("wrong", "Pays for wrong at the end", "", "number", "0.1"),
        Field("spoiled", "Pays for a spoiled draft", "", "number", "0"),
    ),
)

MULTI = Kind(
    "multi",
    "Several in one",
    "Joins several graders by an expression over their names.",
    "0.8 * right + 0.2 * short",
    "Partial credit, and a guard beside the main score.",
    "The part that is easiest to raise rises first: watch each part’s own curve, and let it pay only "
    "once the "
    "answer is right, as in right * (0.8 + 0.2 * short).",
    (
        Field(
            "graders",
            "Graders",
            "Names as the expression uses them: letters, digits, underscores.",
            "graders",
        ),
        Field("calculate_output", "Expression", "+ - * / ^ and min, max, abs, floor, ceil, exp, sqrt, log."),
        _threshold("1"),
    ),
)

KINDS: Mapping[str, Kind] = {
    kind.type: kind
    for kind in (
        STRING_CHECK,
        REGEX,
        MATH,
        JSON_SCHEMA,
        SQL,
        PYTHON,
        TEXT_SIMILARITY,
        LENGTH,
        SCORE_MODEL,
        REWARD_MODEL,
        SELF_CORRECTION,
        MULTI,
    )
}

MONTY_LACKS = (
    "class inheritance and exceptions of your own",
    "yield and del",
    "@property and @staticmethod",
    "re.sub with a function, and re.X",
    "the modules ast, difflib, string, textwrap, statistics, operator, fractions, enum, html, io, heapq, "
    "sqlite3, "
    "xml, uuid, contextlib, struct and numpy",
)
"""Gaps of the small Python, for the editor to show."""
