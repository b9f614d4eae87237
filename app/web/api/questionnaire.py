"""The questionnaire: every question with its choices, their effects and the sources behind them."""

from fastapi import APIRouter
from pydantic import BaseModel

from app.advisor.vocabulary import Evidence, Example, Factor, Preset
from app.web.deps import RulebookDep

router = APIRouter(tags=["advice"])


class Questionnaire(BaseModel):
    version: str
    checksum: str
    factors: list[Factor]
    evidence: list[Evidence]
    examples: list[Example]
    """Ready-made projects, with what the rulebook says to them."""
    presets: list[Preset]
    """Weights of the factors to start from, the rulebook's own first."""


@router.get("/questionnaire", summary="Every question, with its choices, their effects and sources")
def show_questionnaire(rulebook: RulebookDep) -> Questionnaire:
    """An effect of -3 speaks for SFT, one of +3 for GRPO. `not_applicable` can be answered everywhere."""
    return Questionnaire(
        version=rulebook.version,
        checksum=rulebook.checksum,
        factors=[each.model_copy(update={"questions": each.asked}) for each in rulebook.factors],
        evidence=list(rulebook.evidence.values()),
        examples=list(rulebook.examples),
        presets=list(rulebook.presets),
    )
