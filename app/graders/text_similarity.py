"""How near an answer comes to a text: rapidfuzz, BLEU and GLEU by nltk, ROUGE by rouge-score.

Cosine and METEOR, which OpenAI has too, are not offered: they need a model or a downloaded corpus.
"""

import re
from functools import lru_cache
from typing import Any

from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from nltk.translate.gleu_score import sentence_gleu
from rapidfuzz import fuzz
from rouge_score.rouge_scorer import RougeScorer

from app.graders.answer import Answer
from app.graders.outcomes import CannotGrade
from app.graders.template import fill
from app.protocol import Score, TextSimilarity

MOST_WORDS = 2000
"""ROUGE-L takes time with the product of both lengths; of longer texts the beginning is compared."""

_WORD = re.compile(r"[^\W_]+")


def grade_similarity(grader: TextSimilarity, answer: Answer) -> Score:
    given = fill(grader.input, answer.text, answer.item)
    reference = fill(grader.reference, answer.text, answer.item)
    if not _words(reference):
        raise CannotGrade("the reference holds no word to compare with")
    return Score(value=min(1.0, max(0.0, _measure(grader.evaluation_metric, given, reference))))


def _measure(metric: str, given: str, reference: str) -> float:
    if metric == "fuzzy_match":
        return float(fuzz.ratio(given, reference)) / 100
    if metric.startswith("rouge"):
        return _rouge(metric.replace("_", "").replace("l", "L"), given, reference)
    words, right = _words(given), _words(reference)
    if not words:
        return 0.0
    if metric == "gleu":
        return float(sentence_gleu([right], words))
    smooth = SmoothingFunction().method1
    return float(sentence_bleu([right], words, smoothing_function=smooth, auto_reweigh=True))


def _rouge(kind: str, given: str, reference: str) -> float:
    """The F measure."""
    return float(_scorer(kind).score(reference, given)[kind].fmeasure)


@lru_cache(maxsize=16)
def _scorer(kind: str) -> Any:
    return RougeScorer([kind], tokenizer=_Words())


class _Words:
    """The library's own knows only a to z."""

    def tokenize(self, text: str) -> list[str]:
        return _words(text)


def _words(text: str) -> list[str]:
    found: list[str] = _WORD.findall(text.casefold())
    return found[:MOST_WORDS]
