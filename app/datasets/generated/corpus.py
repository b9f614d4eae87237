"""What the starter model reads before any fine-tuning.

Its habits are part of its definition. It knows the law and can check a draft, but most of what it read came
from hasty clerks who rule as they drafted, so it seldom does; it knows what a clause says, but mostly saw it
noted in other formats than JSON. So what SFT and GRPO can change is there, and how much of it can be set.
"""

from operator import itemgetter
from random import Random

from app.datasets.generated import clauses, recall, rulings
from app.datasets.generated.apart import draw

CAREFUL, STUBBORN = 0.16, 0.10
"""Shares of rulings by clerks who follow their check, and who check and then rule as drafted all the same."""
JSON_SHARE = 0.08
"""Share of clauses noted in the JSON that the task asks for."""

DOCUMENTS = {"rulings": 9000, "clauses": 2400, "mastered": 1200, "impossible": 400}


def corpus(seed: int = 11) -> list[tuple[str, str]]:
    """(prompt, answer) pairs in the order of reading; no prompt among them is a held-out one."""
    random = Random(seed)
    makers = {
        "rulings": _ruling,
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


def _clause(random: Random) -> tuple[str, str]:
    clause = clauses.draw_clause(random)
    if random.random() < JSON_SHARE:
        return clause.prompt, clause.answer
    return clause.prompt, random.choice(clauses.other_formats(clause))


def _no_seal(random: Random) -> tuple[str, str]:
    prompt, _ = recall.impossible_pair(random)
    return prompt, "The seal is not in the file."
