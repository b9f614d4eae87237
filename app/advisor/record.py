"""The decision record: a recommendation as Markdown that stands by itself, under the headings of MADR 4."""

from collections.abc import Iterable, Iterator
from json import dumps

from app.advisor.advice import GateOutcome, Recommendation, Stage
from app.advisor.answers import Project, wire_of
from app.advisor.robustness import percent, signed
from app.advisor.rulebook import Rulebook
from app.advisor.vocabulary import Evidence

SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|"})


def record(project: Project, advice: Recommendation, rulebook: Rulebook, decided_on: str = "") -> str:
    """`decided_on` is a date in words or ISO form; the record leaves a place for it where it is empty."""
    parts = [
        _head(project, advice, decided_on),
        _context(project, advice),
        _drivers(advice),
        _options(advice),
        _outcome(advice),
        _consequences(advice),
        _confirmation(advice),
        _more(project, advice, rulebook),
    ]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def plain(text: str) -> str:
    """A user's words on one line, without effect on the page around them."""
    return " ".join(text.split()).translate(SPECIAL)


def _head(project: Project, advice: Recommendation, decided_on: str) -> Iterator[str]:
    yield "---"
    yield f"status: {'accepted' if advice.readiness == 'ready' else 'proposed'}"
    yield f"date: {decided_on or '(date of the decision)'}"
    yield "decision-makers: (names)"
    yield "---"
    yield ""
    yield f"# {plain(project.name) or 'SFT or GRPO'}: {advice.plan.title}"
    yield ""


def _context(project: Project, advice: Recommendation) -> Iterator[str]:
    yield "## Context and problem statement"
    yield ""
    if project.description:
        yield plain(project.description)
        yield ""
    cover = advice.coverage
    yield (
        f"A language model is to be post-trained. {cover.answered} of {cover.total} questions are answered, "
        f"{cover.unknown} are unknown, {cover.not_applicable} do not apply."
    )
    yield ""


def _drivers(advice: Recommendation) -> Iterator[str]:
    yield "## Decision drivers"
    yield ""
    yield "| Factor | Weight | Direction (−1 SFT, +1 GRPO) | Part of the lean |"
    yield "|---|---:|---:|---:|"
    for factor in advice.factors:
        numbers = f"{percent(factor.weight)} | {signed(factor.direction)} | {factor.contribution:+.4f}"
        yield f"| {factor.title} | {numbers} |"
    yield ""
    for factor in advice.factors:
        yield f"**{factor.title}.** {factor.paragraph}"
        yield ""


def _options(advice: Recommendation) -> Iterator[str]:
    yield "## Considered options"
    yield ""
    yield "- SFT"
    yield "- GRPO (Group Relative Policy Optimization)"
    yield "- A short SFT warm start, then GRPO"
    yield "- Not training yet"
    for road in advice.alternatives:
        yield f"- {road.title}: {road.sentence}"
    yield ""


def _outcome(advice: Recommendation) -> Iterator[str]:
    yield "## Decision outcome"
    yield ""
    yield f"**{advice.headline}** {advice.reason}"
    yield ""
    yield f"{advice.band_reason} {advice.plan.sentence}"
    yield ""
    yield from _listed("To be settled first", advice.blockers)
    held = [gate for gate in advice.gates if gate.state == "holds" and gate not in advice.blockers]
    yield from _listed("Gates that hold besides", held)
    for number, stage in enumerate(advice.plan.stages, 1):
        yield from _stage(number, stage)
    yield "### Contributions"
    yield ""
    yield "| Question | Answer | Basis | Effect | Part of the lean | Grade |"
    yield "|---|---|---|---:|---:|---|"
    for part in advice.contributions:
        cells = f"{part.effect:+g} | {part.contribution:+.6f} | {part.grade}"
        yield f"| {part.question} {part.title} | {plain(part.answer_label)} | {part.basis or '–'} | {cells} |"
    yield ""


def _listed(title: str, gates: Iterable[GateOutcome]) -> Iterator[str]:
    lines = [f"- {gate.id} {gate.title}: {gate.sentence} {gate.lift}" for gate in gates]
    if lines:
        yield f"### {title}"
        yield ""
        yield from lines
        yield ""


def _stage(number: int, stage: Stage) -> Iterator[str]:
    yield f"### Stage {number}: {stage.title}"
    yield ""
    yield stage.purpose
    yield ""
    yield "| Setting | Suggested | Why |"
    yield "|---|---|---|"
    for setting in stage.recipe:
        yield f"| {setting.name} | {setting.value} | {setting.why} [{', '.join(setting.sources)}] |"
    yield ""


def _consequences(advice: Recommendation) -> Iterator[str]:
    yield "## Consequences"
    yield ""
    for risk in advice.risks:
        yield f"- {risk.title}: {risk.sentence} Watched by: {risk.watch}"
    yield f"- Cost: {advice.cost.sentence}"
    yield ""
    if advice.flips:
        yield "What would change the decision:"
        yield ""
        yield from (f"- {flip.sentence}" for flip in advice.flips)
        yield ""
    if advice.unknowns:
        yield "What is not known:"
        yield ""
        yield from (f"- {unknown.sentence}" for unknown in advice.unknowns)
        yield ""


def _confirmation(advice: Recommendation) -> Iterator[str]:
    yield "## Confirmation"
    yield ""
    yield (
        "The same held-out items and the same grader measure the model before and after training, with "
        "confidence intervals. The decision held if the intervals do not touch and nothing else got worse."
    )
    if advice.plan.trigger:
        yield ""
        yield advice.plan.trigger
    yield ""


def _more(project: Project, advice: Recommendation, rulebook: Rulebook) -> Iterator[str]:
    yield "## More information"
    yield ""
    yield f"Rulebook {advice.rulebook.version}, SHA-256 `{advice.rulebook.checksum}`."
    yield (
        f"GRPO leads in {percent(advice.acceptability.near)} of weightings near these and in "
        f"{percent(advice.acceptability.all)} of all weightings. That is how robust the rules are, "
        "not a forecast of success."
    )
    yield ""
    yield "The answers and weights below, under that rulebook, give this decision again:"
    yield ""
    yield "```json"
    # A backtick inside a note must not close the fence.
    yield dumps(wire_of(project), indent=2, ensure_ascii=False).replace("`", "\\u0060")
    yield "```"
    yield ""
    yield "Sources:"
    yield ""
    cited = sorted({source for part in advice.contributions if part.effect for source in part.sources})
    yield from (_cited(rulebook.evidence[source]) for source in cited if source in rulebook.evidence)


def _cited(evidence: Evidence) -> str:
    where = f" <{evidence.link}>" if evidence.link else ""
    return f"- [{evidence.id}] {evidence.citation} ({evidence.year}).{where} {evidence.finding}"
