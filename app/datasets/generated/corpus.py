"""What the starter model reads before any fine-tuning.

Its habits are part of its definition. It knows the law and can check a draft, but most of what it read came
from hasty clerks who rule as they drafted, so it seldom does; it knows what a clause says, but mostly saw it
noted in other formats than JSON. So what SFT and GRPO can change is there, and how much of it can be set.
"""

from operator import itemgetter
from random import Random

from app.datasets.generated import clauses, recall, rulings
from app.datasets.generated.apart import draw

CAREFUL, STUBBORN = 0.14, 0.07
"""Shares of rulings by clerks who follow their check, and who check and then rule as drafted all the same."""
JSON_SHARE = 0.12
"""Share of clauses noted in the JSON that the task asks for."""

DOCUMENTS = {"rulings": 2600, "findings": 5200, "clauses": 1100, "mastered": 1500, "impossible": 200}


def corpus(seed: int = 11) -> list[tuple[str, str]]:
    """(prompt, answer) pairs in the order of reading; no prompt among them is a held-out one."""
    random = Random(seed)
    makers = {
        "rulings": _ruling,
        "findings": _findings,
        "clauses": _clause,
        "mastered": recall.mastered_pair,
        "impossible": _no_seal,
    }
    pairs = [
        draw(random, makers[name], itemgetter(0)) for name, count in DOCUMENTS.items() for _ in range(count)
    ]
    random.shuffle(pairs)
    return pairs


def _ruling(random: Random) -> tuple[str, str]:
    case = rulings.draw_case(random)
    draft = random.choice(rulings.RULINGS)
    style = random.random()
    if style < CAREFUL:
        return case.prompt, rulings.worked_answer(case, draft)
    if style < CAREFUL + STUBBORN:
        checked = "; ".join(rulings.findings(case))
        return case.prompt, f"Draft: {draft}.\nCheck: {checked}.\nRuling: {draft}."
    return case.prompt, f"Draft: {draft}.\nCheck: the draft stands.\nRuling: {draft}."


def _findings(random: Random) -> tuple[str, str]:
    """A clerk's exercise: the check alone. It teaches to check well without making it a habit."""
    case = rulings.draw_case(random)
    asked = case.prompt.replace(rulings.QUESTION, "Go through the grounds.")
    return asked, "; ".join(rulings.findings(case)) + "."


def _clause(random: Random) -> tuple[str, str]:
    clause = clauses.draw_clause(random)
    if random.random() < JSON_SHARE:
        return clause.prompt, clause.answer
    return clause.prompt, random.choice(clauses.other_formats(clause))


def _no_seal(random: Random) -> tuple[str, str]:
    prompt, _ = recall.impossible_pair(random)
    return prompt, "The seal is not in the file."
