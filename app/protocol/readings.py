"""How a brought file is read, where it came from, and what was found in it."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from app.protocol.graders import Grader
from app.protocol.words import Message, Sha256, ShareOfOne

# How it is read

Column = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ColumnMapping(Message):
    """Which column is what. Columns that are not named here become fields for graders, `{{ item.x }}`."""

    messages: Column | None = None
    """A list of messages with `role` and `content`, the answer among them or not."""
    system: Column | None = None
    prompt: Column | None = None
    """A text, or a list of messages that ends with the user's."""
    answer: Column | None = None
    chosen: Column | None = None
    rejected: Column | None = None
    """Without a prompt, what both answers begin with is the prompt."""
    text: Column | None = None
    fields: Annotated[list[Column], Field(max_length=200)] | None = None
    """Further columns to keep; None keeps all."""

    @model_validator(mode="after")
    def _one_shape(self) -> "ColumnMapping":
        shapes = [self.messages, self.text, self.chosen or self.rejected, self.answer]
        if sum(each is not None for each in shapes) > 1:
            raise ValueError("name one of messages, text, answer, or chosen with rejected")
        if (self.chosen is None) != (self.rejected is None):
            raise ValueError("a pair needs both chosen and rejected")
        if self.answer is not None and self.prompt is None:
            raise ValueError("an answer needs its prompt; whole texts go to `text`")
        if not any([*shapes, self.prompt]):
            raise ValueError("name the column of the prompt, the messages, the pair or the text")
        return self

    def named(self) -> set[str]:
        """The columns that make up the messages."""
        parts = (self.messages, self.system, self.prompt, self.answer, self.chosen, self.rejected, self.text)
        return {part for part in parts if part is not None}


class Reading(Message):
    """How a file is read. The default takes a file that its own bytes and field names explain."""

    format: Literal["auto", "jsonl", "csv", "parquet"] = "auto"
    delimiter: Literal["auto", ",", ";", "\t", "|"] = "auto"
    columns: ColumnMapping | None = None

    @property
    def is_plain(self) -> bool:
        return self == Reading()


# Where it comes from

HubPart = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,95}$")]


class HubDataset(Message):
    """A dataset of the Hugging Face hub; the commit it was fetched at is pinned and told."""

    kind: Literal["hub"] = "hub"
    id: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95})?$"),
    ]
    config: HubPart | None = None
    split: HubPart = "train"
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][A-Za-z0-9_.-]{0,99}$")] | None = None


class WorkerFile(Message):
    """A file in the worker's folder of datasets, by the name under which `GET /files` lists it."""

    kind: Literal["worker_file"] = "worker_file"
    name: Annotated[str, StringConstraints(min_length=1, max_length=255)]


Source = Annotated[HubDataset | WorkerFile, Field(discriminator="kind")]


class ListedFile(Message):
    name: str
    bytes: int


class BroughtFile(Message):
    """A file the worker holds for a while, until it is read or forgotten."""

    sha256: Sha256
    bytes: int
    name: str
    """What a dataset of it would be called, unless said otherwise."""
    source: str
    """Where it came from, in words."""


class Look(Message):
    """The first rows of a file, before it is decided how to read it."""

    file: BroughtFile
    format: Literal["jsonl", "csv", "parquet"] | None = None
    """None where it is none of these."""
    delimiter: Literal[",", ";", "\t", "|"] | None = None
    columns: list[str] = []
    rows: list[dict[str, str]] = []
    """The first five, every value as text and shortened."""
    suggestion: ColumnMapping | None = None
    """By the columns' names."""
    reads_plainly: bool = False
    """Whether its own field names explain it, so that no mapping is needed."""
    problem: str | None = None


class DatasetOrder(Message):
    """A brought file, to be read."""

    file: Sha256
    reading: Reading = Reading()
    mend: bool = False
    """Leave out or mend the rows that cannot be used, instead of refusing the file."""


# What was found in it


class Bin(Message):
    up_to: int
    """Tokens; the bin begins above the one before."""
    count: int


class Lengths(Message):
    """Tokens of a part of the rows, without what a chat template adds."""

    rows: int
    p50: int
    p90: int
    p95: int | None = None
    """None where an earlier version measured them."""
    p99: int
    longest: int
    bins: list[Bin] = []


FindingKind = Literal[
    "duplicates",
    "near_duplicates",
    "leaks",
    "near_leaks",
    "contradictions",
    "same_answers",
    "placeholders",
    "padding",
    "equal_pairs",
    "too_long",
]


class Finding(Message):
    """Something to look at that does not keep the data from being used."""

    kind: FindingKind
    rows: int
    lines: list[int] = []
    """The first of them, by line of the file (of a Parquet file by row)."""
    sentence: str
    fix: str
    mended: bool = False
    """Whether a repaired copy takes care of it."""


class Checkable(Message):
    """Answers that a program can check, and the grader that would."""

    field: str
    """`reference` is the row's own answer."""
    kind: Literal["number", "label", "json", "sql", "code", "short_text"]
    rows: int
    share: ShareOfOne
    """Of the rows looked at."""
    sentence: str
    grader: Grader | None = None
    commonest: ShareOfOne | None = None
    """Share of the values that are the one which occurs most: what always guessing it would get right."""


class Maker(Message):
    """One value of a field that says who made the answers."""

    field: str
    value: str
    rows: int
    """Demonstrations that say so."""


class SeveralAnswers(Message):
    """Prompts to which the rows give different answers."""

    answered: int
    """Prompts with an answer at all."""
    prompts: int
    typical: float
    """Different answers to each of them, the median."""


class Shift(Message):
    """How well a program that sees only words and lengths tells one part of the prompts from another."""

    between: Literal["splits", "held_out", "prompts"]
    """Splits that a field names; rows that came as held out and the others; demonstrations and prompts."""
    rows: int
    """Compared of each part, as many of one as of the other."""
    told_apart: ShareOfOne
    """Of the prompts put in the right part: a half by chance, 1 where they have nothing in common."""


class Content(Message):
    """What answers to the data questions can rest on."""

    demonstrations: int
    """Those that neither repeat another row nor have a missing value for an answer."""
    answered: int
    """All of them."""
    prompts: int
    """Different ones, whatever their case, spacing and punctuation."""
    near_prompts: int
    """Of the rows compared, those that ask nearly what an earlier one asks."""
    pairs: int
    """Those that do not repeat another and prefer something."""
    makers: list[Maker] = []
    checked: int = 0
    """Demonstrations that say that somebody checked them."""
    several: SeveralAnswers | None = None
    shift: Shift | None = None


class Profile(Message):
    tokenizer: str
    """Whose tokens these are, in words."""
    exact_tokens: bool = True
    """False where four bytes were taken for a token, because no tokenizer was at hand."""
    measured_rows: int
    """Whose tokens were counted: all, or an even sample and the longest."""
    compared_rows: int
    """Among which near-duplicates were looked for."""
    prompt: Lengths | None = None
    answer: Lengths | None = None
    """Of pairs, chosen and rejected answers alike."""
    text: Lengths | None = None
    roles: dict[str, int] = {}
    """Messages by role."""
    findings: list[Finding] = []
    checkable: list[Checkable] = []
    content: Content | None = None
    """None where an earlier version looked."""


class StoredSplit(Message):
    """Which rows are held out first, next and so on; kept beside the dataset and the same for all runs."""

    rows: int
    groups: list[list[int]]
    """Rows, counted from 0; those of one prompt stand together."""
    sha256: Sha256
    """Of the order."""
    rows_sha256: Sha256 | None = None
    """Of the rows as they are kept; a dataset read by an earlier version has none."""


class HeldOut(Message):
    """The rows that an evaluation of so many items holds out."""

    items: int
    rows: list[int]
    """Counted from 0, in the order of the file."""
    lines: list[int]
    """Where they stand in the file."""
    sha256: Sha256
    """Of the stored order that they are taken from."""


class Change(Message):
    line: int
    what: str


class RepairReport(Message):
    """What a repaired copy changed; the original is untouched."""

    of: Sha256
    kept: int
    left_out: int
    changed: int
    changes: list[Change] = []
    """The first 200."""
