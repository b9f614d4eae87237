"""Statutory reasoning: an act, the facts of a case, and a ruling that a program can verify.

The law is fixed, so a small model can know it; the facts differ from case to case and must be read. The first
ground that the facts meet decides, whatever order they are told in.
"""

from dataclasses import dataclass
from random import Random

RULINGS = ("granted", "dismissed", "barred", "void", "stayed", "reduced", "referred", "remitted")

QUESTION = "Draft a ruling, check it ground by ground, then rule."

NAMES = (
    "Abara", "Bauer", "Castro", "Dietz", "Egan", "Fofana", "Garcia", "Haas", "Ito", "Jansen", "Kaya", "Lund",
    "Mori", "Nowak", "Okafor", "Patel", "Quist", "Rossi", "Sato", "Tran", "Ueda", "Vogel", "Weber", "Yilmaz",
)  # fmt: skip


@dataclass(frozen=True)
class Ground:
    """What the act asks for, how it reads when met and when not, and what follows from it."""

    words: str
    met: str
    unmet: str
    ruling: str


@dataclass(frozen=True)
class Late:
    """A ground met by a number of days beyond the limit."""

    limit: int
    ruling: str

    @property
    def words(self) -> str:
        return f"filed after day {self.limit}"


@dataclass(frozen=True)
class Act:
    name: str
    claimant: str
    respondent: str
    grounds: tuple[Ground | Late, ...]
    """In order of precedence."""
    otherwise: str


ACTS = (
    Act(
        "Tenancy Deposits Act",
        "tenant",
        "landlord",
        (
            Late(30, "barred"),
            Ground("the lease is oral", "The lease was oral.", "The lease was signed.", "void"),
            Ground("the rooms were damaged", "The rooms were damaged.", "The rooms were clean.", "reduced"),
        ),
        "granted",
    ),
    Act(
        "Sale of Goods Act",
        "buyer",
        "seller",
        (
            Ground(
                "the buyer knew the fault", "The buyer knew the fault.", "The fault was hidden.", "dismissed"
            ),
            Late(20, "barred"),
            Ground(
                "the parts can be mended",
                "The parts can be mended.",
                "The parts are beyond repair.",
                "stayed",
            ),
        ),
        "granted",
    ),
    Act(
        "Carriage of Goods Act",
        "sender",
        "carrier",
        (
            Ground("there is no waybill", "No waybill was issued.", "A waybill was issued.", "referred"),
            Ground("a storm caused the loss", "A storm sank the load.", "The weather was calm.", "dismissed"),
            Late(14, "reduced"),
        ),
        "granted",
    ),
    Act(
        "Consumer Loans Act",
        "borrower",
        "lender",
        (
            Ground("the rate was not stated", "No rate was stated.", "The rate was stated.", "void"),
            Ground(
                "the borrower is a minor",
                "The borrower was a minor.",
                "The borrower was an adult.",
                "granted",
            ),
            Late(45, "remitted"),
        ),
        "dismissed",
    ),
    Act(
        "Unpaid Wages Act",
        "worker",
        "employer",
        (
            Late(40, "barred"),
            Ground("a tribunal is seized", "A tribunal is seized.", "No tribunal is seized.", "stayed"),
            Ground("the hours are disputed", "The hours are disputed.", "The hours are agreed.", "referred"),
        ),
        "granted",
    ),
    Act(
        "Insured Property Act",
        "insured",
        "insurer",
        (
            Ground("the premium is unpaid", "The premium was unpaid.", "The premium was paid.", "void"),
            Ground(
                "the fire was set", "The fire was set on purpose.", "The fire was accidental.", "dismissed"
            ),
            Ground("the value is contested", "The value is contested.", "The value is agreed.", "remitted"),
        ),
        "granted",
    ),
)


@dataclass(frozen=True)
class Case:
    act: Act
    opening: str
    facts: tuple[str, ...]
    """One per ground, in the act's order."""
    met: tuple[bool, ...]
    told: tuple[int, ...]
    """The order in which the facts are told."""

    @property
    def ruling(self) -> str:
        decided = (ground.ruling for ground, met in zip(self.act.grounds, self.met, strict=True) if met)
        return next(decided, self.act.otherwise)

    @property
    def prompt(self) -> str:
        law = "; ".join(f"{ground.ruling} if {ground.words}" for ground in self.act.grounds)
        facts = " ".join(self.facts[index] for index in self.told)
        return (
            f"{self.act.name}: a claim is {law}; otherwise {self.act.otherwise}.\n"
            f"{self.opening} {facts}\n{QUESTION}"
        )


def draw_case(random: Random) -> Case:
    """The deciding ground is equally likely to be any of the three, or none."""
    act = random.choice(ACTS)
    deciding = random.randrange(len(act.grounds) + 1)
    met = tuple(
        index == deciding or (index > deciding and random.random() < 0.5) for index in range(len(act.grounds))
    )
    claimant, respondent = random.sample(NAMES, 2)
    parties = f"{claimant}, {act.claimant}, sues {respondent}, {act.respondent}"
    return Case(
        act=act,
        opening=f"{parties}, for {random.randrange(2, 98)}0 dollars.",
        facts=tuple(_fact(random, ground, holds) for ground, holds in zip(act.grounds, met, strict=True)),
        met=met,
        told=tuple(random.sample(range(len(act.grounds)), len(act.grounds))),
    )


def worked_answer(case: Case, draft: str) -> str:
    """The check goes through the grounds in order and stops at the one that decides."""
    return f"Draft: {draft}.\nCheck: {'; '.join(findings(case))}.\nRuling: {case.ruling}."


def findings(case: Case) -> list[str]:
    found = []
    for ground, met in zip(case.act.grounds, case.met, strict=True):
        found.append(f"{ground.words}, {'yes' if met else 'no'}")
        if met:
            return [*found, f"so {ground.ruling}"]
    return [*found, f"so {case.act.otherwise}"]


def _fact(random: Random, ground: Ground | Late, met: bool) -> str:
    if isinstance(ground, Late):
        off = random.randrange(1, 10)
        return f"The claim came on day {ground.limit + off if met else ground.limit - off}."
    return ground.met if met else ground.unmet
