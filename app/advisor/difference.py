"""Two rulebooks side by side: every difference by file and key, and what it does to a project's verdict."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from json import dumps
from tomllib import loads
from typing import Any, Literal, NamedTuple

from app.advisor.advice import Band, PlanId, TrainingMethod
from app.advisor.reading import FACTOR_FILES, ready
from app.advisor.recommendation import recommend
from app.advisor.rulebook import Rulebook
from app.errors import InvalidInput
from app.protocol import Message

Kind = Literal[
    "questions", "effects", "gates", "verdict", "plan", "compute", "evidence", "examples", "words", "other"
]
Level = Literal["major", "minor", "patch"]

LEVELS: tuple[Level, ...] = ("patch", "minor", "major")

# fmt: off
WORDS = frozenset({
    "title", "text", "why", "help", "label", "hint", "because", "clause", "sentence", "about", "low_end",
    "high_end", "threshold", "clear", "unknown", "lift", "watch", "purpose", "description", "citation",
    "finding", "year", "arxiv", "url", "grade", "sources",
})
# fmt: on
"""Keys that tell and cite. Changing them leaves every verdict as it was."""
TELLING = frozenset({"evidence.toml", "examples.toml", "claims.toml"})
"""Files no verdict depends on."""
KINDS: Mapping[str, Kind] = {
    "gates.toml": "gates",
    "decision.toml": "verdict",
    "plan.toml": "plan",
    "compute.toml": "compute",
    "evidence.toml": "evidence",
    "examples.toml": "examples",
}
PLAINLY = {
    "because": "reason",
    "clause": "words for the headline",
    "when": "condition",
    "why": "why it is asked",
    "id": "name",
}


class Difference(Message):
    """One thing that differs. `before` is null where it was added, `after` where it was removed."""

    file: str
    key: str
    what: str
    """The same place in words."""
    kind: Kind
    level: Level
    """How far the version must rise for it."""
    before: str | None
    after: str | None


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Difference, ...]:
    """Of the files' texts; remarks and layout apart, and apart from the version itself."""
    old, new = ({name: ready(name, loads(text)) for name, text in texts.items()} for texts in (before, after))
    labels = {**_labels(old), **_labels(new)}
    found: list[Difference] = []
    for name in dict.fromkeys((*old, *new)):
        if name not in old or name not in new:
            there = "the whole file"
            sides = (there, None) if name in old else (None, there)
            found.append(_difference(_Place(name, (), ()), *sides))
        else:
            found += [
                _difference(place, *(_said(place, side, labels) for side in sides))
                for place, *sides in _unequal(_Place(name, (), ()), old[name], new[name])
            ]
    return tuple(each for each in found if (each.file, each.key) != ("decision.toml", "version"))


class _Place(NamedTuple):
    file: str
    keys: tuple[str, ...]
    words: tuple[str, ...]

    def inside(self, key: str, words: str | None = None) -> "_Place":
        return _Place(self.file, (*self.keys, key), (*self.words, key if words is None else words))

    @property
    def leaf(self) -> str:
        return self.keys[-1] if self.keys else ""


Found = tuple[_Place, Any, Any]


def _unequal(place: _Place, old: Any, new: Any) -> Iterator[Found]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            inside = place.inside(key, _key_in_words(key, new.get(key, old.get(key))))
            if key in old and key in new:
                yield from _unequal(inside, old[key], new[key])
            else:
                yield inside, old.get(key), new.get(key)
    elif _are_entries(old) and _are_entries(new) and place.leaf != "when":
        yield from _unequal_entries(place, old, new)
    elif old != new:
        yield place, old, new


def _are_entries(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _unequal_entries(place: _Place, old: Sequence[Any], new: Sequence[Any]) -> Iterator[Found]:
    """Entries are matched by id, name or condition; what is left over without an id, in order."""
    olds, news = _by_name(old), _by_name(new)
    for name in dict.fromkeys((*olds, *news)):
        if name in olds and name in news:
            yield from _unequal(_entry(place, name, news[name]), olds[name], news[name])
    gone = [(name, entry) for name, entry in olds.items() if name not in news]
    come = [(name, entry) for name, entry in news.items() if name not in olds]
    nameless = [[each for each in side if not _called(each[1])] for side in (gone, come)]
    for left, right in zip_longest(*nameless):
        if left and right:
            yield from _unequal(_entry(place, right[0], right[1]), left[1], right[1])
    paired = min(map(len, nameless))
    for name, entry in (*(e for e in gone if _called(e[1])), *nameless[0][paired:]):
        yield _entry(place, name, entry), entry, None
    for name, entry in (*(e for e in come if _called(e[1])), *nameless[1][paired:]):
        yield _entry(place, name, entry), None, entry
    common = [name for name in olds if name in news], [name for name in news if name in olds]
    if common[0] != common[1]:
        left, right = ([_title(news[name]) or name for name in names] for names in common)
        yield place.inside("order"), left, right


def _by_name(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for number, entry in enumerate(entries, start=1):
        name = _called(entry) or dumps(entry.get("when", number), default=str, sort_keys=True)
        named[name if name not in named else f"{name} {number}"] = entry
    return named


def _called(entry: Mapping[str, Any]) -> str:
    return str(entry.get("id") or entry.get("name") or "")


def _entry(place: _Place, name: str, entry: Mapping[str, Any]) -> _Place:
    if not _called(entry):
        return place.inside("case", "a special case")
    title = _title(entry)
    return place.inside(name, f"“{title}”" if title else name)


def _title(entry: Any) -> str:
    said = (
        entry.get(key) for key in ("title", "label", "citation", "claim", "name") if isinstance(entry, dict)
    )
    return next((str(each) for each in said if each), "")


def _key_in_words(key: str, value: Any) -> str:
    return f"“{_title(value)}”" if _title(value) else PLAINLY.get(key, key.replace("_", " "))


# What a difference is, and how far the version rises for it


def _difference(place: _Place, before: str | None, after: str | None) -> Difference:
    kind = _kind(place)
    words = [
        word for word in place.words if word not in ("questions", "choices", "effects", "gates", "levels")
    ]
    return Difference(
        file=place.file,
        key=".".join(place.keys),
        what=", ".join(words) or place.file,
        kind=kind,
        level=_level(place, before, after),
        before=before,
        after=after,
    )


def _kind(place: _Place) -> Kind:
    if place.file not in TELLING and place.leaf in WORDS:
        return "words"
    if place.file in FACTOR_FILES and place.keys[:1] in (("questions",), ("factor",)):
        effect = place.keys[0] == "factor" or place.leaf in ("effect", "when") or "effects" in place.keys
        return "effects" if effect else "questions"
    return KINDS.get(place.file, "other")


def _level(place: _Place, before: str | None, after: str | None) -> Level:
    if _breaks_answers(place, after):
        return "major"
    telling = place.file in TELLING or place.leaf in WORDS
    return "patch" if telling else "minor"


def _breaks_answers(place: _Place, after: str | None) -> bool:
    """Whether something that answers, weights or measurements name is gone."""
    keys = place.keys
    if place.file in FACTOR_FILES:
        question = keys[:1] == ("questions",)
        entry = question and (len(keys) == 2 or (len(keys) == 4 and keys[2] == "choices"))
        return (entry and after is None) or (question and keys[2:] == ("kind",)) or keys == ("factor", "id")
    return place.file == "gates.toml" and keys[:1] == ("measurements",) and len(keys) == 2 and after is None


def level_of(found: Iterable[Difference]) -> Level:
    return max((each.level for each in found), key=LEVELS.index, default="patch")


def numbers(version: str) -> tuple[int, int, int]:
    major, minor, patch = map(int, version.split("."))
    return major, minor, patch


def risen(version: str, level: Level) -> str:
    """The least version that has risen as far as `level` asks."""
    major, minor, patch = numbers(version)
    return {
        "major": f"{major + 1}.0.0",
        "minor": f"{major}.{minor + 1}.0",
        "patch": f"{major}.{minor}.{patch + 1}",
    }[level]


# In words

Labels = Mapping[str, tuple[str, Mapping[str, str]]]


def _labels(documents: Mapping[str, Mapping[str, Any]]) -> Labels:
    questions = [q for name in FACTOR_FILES for q in documents.get(name, {}).get("questions", ())]
    return {
        question["id"]: (question["title"], {choice["id"]: choice["label"] for choice in question["choices"]})
        for question in questions
    }


def _said(place: _Place, value: Any, labels: Labels) -> str | None:
    if value is None:
        return None
    if place.leaf == "when":
        return " or ".join(_clause(clause, labels) for clause in value) or "always"
    if isinstance(value, dict):
        return _summary(value, labels)
    if isinstance(value, list):
        return ", ".join(str(_said(place, each, labels)) for each in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _effect(value) if place.leaf == "effect" else f"{value:g}"
    return str(value)


def _effect(value: float) -> str:
    return f"{value:+g}".replace("-", "−") if value else "0"


def _summary(entry: Mapping[str, Any], labels: Labels) -> str:
    told = next(
        (
            str(entry[key])
            for key in ("text", "label", "citation", "sentence", "because", "title")
            if key in entry
        ),
        "",
    )
    more = []
    if isinstance(effect := entry.get("effect"), int | float):
        more.append(f"effect {_effect(effect)}")
    if entry.get("when"):
        more.append("given " + " or ".join(_clause(clause, labels) for clause in entry["when"]))
    if choices := entry.get("choices"):
        answers = (f"{each['label']} ({_effect(each['effect'])})" for each in choices)
        more.append("answers: " + ", ".join(answers))
    return "; ".join([told, *more] if told else more) or ", ".join(f"{k} {v}" for k, v in entry.items())


def _clause(clause: Mapping[str, Any], labels: Labels) -> str:
    return " and ".join(_condition(key, wanted, labels) for key, wanted in clause.items())


def _condition(key: str, wanted: Any, labels: Labels) -> str:
    title, choices = labels.get(key, (key.replace("_", " "), {}))
    if isinstance(wanted, dict):
        bounds = (f"{bound.replace('_', ' ')} {value:g}" for bound, value in wanted.items())
        return f"{title} is {' and '.join(bounds)}"
    named = [choices.get(token, str(token).replace("_", " ")) for token in wanted]
    return f"{title} is “{'” or “'.join(named)}”"


# What it does to a project


class Verdict(Message):
    method: TrainingMethod
    plan: PlanId
    plan_title: str
    band: Band
    lean: float

    @property
    def kind(self) -> TrainingMethod | Literal["not_yet"]:
        """What is told: whoever is not to train yet has no method, whichever way the lean points."""
        return "not_yet" if self.plan == "not_yet" else self.method


class LeftOpen(Message):
    """An answer that the other rulebook does not know any more."""

    question: str
    title: str
    why: str


class Effect(Message):
    before: Verdict | None
    """Null where that rulebook cannot be read by this version of the program."""
    after: Verdict
    left_open: tuple[LeftOpen, ...]

    @property
    def turns(self) -> int:
        """2 where the verdict is another, 1 where plan or band is, 0 otherwise."""
        if self.before is None or self.before.kind != self.after.kind:
            return 2
        return int((self.before.plan, self.before.band) != (self.after.plan, self.after.band))


Told = Mapping[str, Any]
"""A project in its JSON form: answers, weights, measurements."""


def effect_on(told: Told, before: Rulebook | None, after: Rulebook) -> Effect:
    kept, left_open = carried(told, after, before)
    verdict = verdict_on(carried(told, before)[0], before) if before else None
    return Effect(before=verdict, after=verdict_on(kept, after), left_open=left_open)


def carried(
    told: Told, rulebook: Rulebook, named_by: Rulebook | None = None
) -> tuple[dict[str, Any], tuple[LeftOpen, ...]]:
    """What `rulebook` can read of it, and what it cannot; `named_by` knows the titles of the latter."""
    if not _unread(rulebook, told):
        return dict(told), ()
    kept: dict[str, Any] = {"answers": {}, "measurements": {}}
    left_open = []
    for part in ("answers", "measurements"):
        for name, given in (told.get(part) or {}).items():
            why = _unread(rulebook, {part: {name: given}})
            if why:
                left_open.append(LeftOpen(question=name, title=_title_of(name, rulebook, named_by), why=why))
            else:
                kept[part][name] = given
    weights = told.get("weights") or None
    if weights and (why := _unread(rulebook, {"weights": weights})):
        left_open.append(LeftOpen(question="weights", title="Your own weights", why=why))
        weights = None
    return {**kept, "weights": weights}, tuple(left_open)


def _unread(rulebook: Rulebook, part: Told) -> str:
    try:
        rulebook.read(part)
    except InvalidInput as error:
        return error.problems[0].what
    return ""


def _title_of(name: str, *rulebooks: Rulebook | None) -> str:
    known = (
        rulebook.questions[name].title for rulebook in rulebooks if rulebook and name in rulebook.questions
    )
    return next(known, name)


def verdict_on(told: Told, rulebook: Rulebook) -> Verdict:
    advice = recommend(rulebook.read(told), rulebook)
    return Verdict(
        method=advice.method,
        plan=advice.plan.id,
        plan_title=advice.plan.title,
        band=advice.band,
        lean=advice.lean,
    )
