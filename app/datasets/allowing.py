"""What a dataset allows, method by method, in one sentence each."""

from typing import Literal

from app.protocol import DatasetSummary, Message

FEW_DEMONSTRATIONS = 50
FEW_PAIRS = 200


class Allowed(Message):
    method: Literal["sft", "grpo", "reward_model"]
    yes: bool
    sentence: str


def allowed(summary: DatasetSummary) -> list[Allowed]:
    pairs = [_reward_model(summary)] if summary.preferences else []
    return [_sft(summary), _grpo(summary), *pairs]


def _sft(summary: DatasetSummary) -> Allowed:
    if summary.texts:
        return Allowed(
            method="sft",
            yes=True,
            sentence=f"{summary.texts:,} whole texts to learn from: the model learns to write such texts, "
            "not to answer questions about them.",
        )
    if not summary.demonstrations:
        return Allowed(
            method="sft",
            yes=False,
            sentence="Missing: demonstrations, that is rows whose last message is the assistant’s answer.",
        )
    few = " Fewer than 50 rarely change much." if summary.demonstrations < FEW_DEMONSTRATIONS else ""
    return Allowed(
        method="sft", yes=True, sentence=f"{summary.demonstrations:,} demonstrations to learn from.{few}"
    )


def _grpo(summary: DatasetSummary) -> Allowed:
    count = summary.prompts or summary.demonstrations or summary.preferences
    if not count:
        return Allowed(method="grpo", yes=False, sentence="Missing: prompts. A text asks nothing.")
    return Allowed(method="grpo", yes=True, sentence=f"{count:,} prompts{_grader_for(summary)}")


def _grader_for(summary: DatasetSummary) -> str:
    fields = ", ".join(f"item.{name}" for name in summary.item_fields)
    if fields:
        return f"; a grader can compare with {fields}.{_checked(summary)}"
    if summary.demonstrations and not summary.prompts:
        return f"; a grader can compare with item.reference, the row’s own answer.{_checked(summary)}"
    if summary.preferences:
        return "; it needs a grader: the reward model that the pairs train, or one that needs no reference."
    return (
        ", but no field to compare an answer with: only a grader that needs none will do, such as a JSON "
        "Schema. Add a field to every row, for example “answer”, to compare with."
    )


def _checked(summary: DatasetSummary) -> str:
    if summary.profile is None:
        return ""
    ready = [each for each in summary.profile.checkable if each.grader]
    if ready:
        return f" A program can check {ready[0].share:.0%} of the rows by item.{ready[0].field}."
    if summary.profile.checkable:
        return ""
    return " No field looks like something a program checks exactly: it needs a judge or a reward model."


def _reward_model(summary: DatasetSummary) -> Allowed:
    few = f" Fewer than {FEW_PAIRS} rarely agree with people." if summary.preferences < FEW_PAIRS else ""
    return Allowed(
        method="reward_model",
        yes=True,
        sentence=f"{summary.preferences:,} pairs to learn a preference from; "
        f"the reward model can then grade a GRPO run.{few}",
    )
