"""Is the answer as long as it should be?"""

from app.graders.answer import Answer
from app.graders.template import fill
from app.protocol import Length, Score


def grade_length(grader: Length, answer: Answer) -> Score:
    text = fill(grader.input, answer.text, answer.item)
    size = len(text.split()) if grader.unit == "words" else len(text)
    return Score(value=_score(size, grader.low, grader.high))


def _score(size: int, low: int, high: int) -> float:
    """Falls in a straight line to nothing at half of `low` and twice `high`."""
    if size < low:
        return max(0.0, (2 * size - low) / low)
    return max(0.0, (2 * high - size) / high) if size > high else 1.0
