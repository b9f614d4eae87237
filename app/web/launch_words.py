"""What the launch page offers, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from app.advisor.advice import GateOutcome
from app.advisor.recommendation import Recommendation
from app.datasets import generated
from app.models import Dataset, Run
from app.protocol import (
    DatasetSummary,
    Device,
    ModelSummary,
    RunSpec,
)
from app.protocol.sources import named_parameters
from app.web.launch_defaults import Chosen

DECIDES = ("plan", "model", "dataset", "tuning", "parameters")
"""What the other settings must fit."""

PLAN_TITLES = {
    "sft": ("SFT", "Learn to write the demonstrations’ answers."),
    "grpo": ("GRPO", "Try each prompt several times and reinforce what the grader scores higher."),
    "sft_then_grpo": (
        "SFT warm start, then GRPO",
        "Two runs: a short SFT, so that the model sometimes succeeds, then GRPO from its model.",
    ),
    "reward_model": (
        "Reward model",
        "Learn from preference pairs to tell the better answer. It can then grade a GRPO run.",
    ),
    "reward_model_then_grpo": (
        "Reward model, then GRPO",
        "Two runs: a reward model from preference pairs, then GRPO that raises its score.",
    ),
}


def chosen_in(
    form: Mapping[str, str],
    models: Sequence[ModelSummary] = (),
    summaries: Mapping[str, DatasetSummary] = MappingProxyType({}),
) -> Chosen:
    return Chosen(
        form.get("plan", ""),
        form.get("model", ""),
        form.get("dataset", ""),
        form.get("tuning") or "full",
        parameters(form, models),
        rows(form.get("dataset", ""), summaries),
    )


def rows(dataset: str, summaries: Mapping[str, DatasetSummary]) -> int | None:
    """To learn from, as far as the worker said."""
    known = summaries.get(dataset.partition(":")[2])
    if known is None:
        return None
    return known.demonstrations or known.preferences or known.texts or known.prompts


def parameters(form: Mapping[str, str], models: Sequence[ModelSummary]) -> int | None:
    """Of the model to start from: as the worker knows it, or as the hub's id says."""
    model = form.get("model", "")
    if model == "hub":
        return named_parameters(form.get("hub_id", ""))
    known = {f"local:{each.ref.name}": each.parameters for each in models if each.ref.kind == "local"}
    return known.get(model)


def settled_for(chosen: Chosen) -> str:
    return " ".join(str(getattr(chosen, name) or "") for name in DECIDES)


def settled_before(told: str, summaries: Mapping[str, DatasetSummary]) -> Chosen | None:
    """The choice that a form's settings were made for, as the form brought it back."""
    parts = told.split(" ")
    if len(parts) != len(DECIDES):
        return None
    plan, model, dataset, tuning, size = parts
    known = int(size) if size.isascii() and size.isdigit() else None
    return Chosen(plan, model, dataset, tuning, known, rows(dataset, summaries))


# The advice


@dataclass(frozen=True)
class AdviceInShort:
    sentence: str
    blockers: tuple[GateOutcome, ...]


def advice_in_short(advice: Recommendation) -> AdviceInShort:
    plan = PLAN_TITLES.get(advice.plan.id)
    what = plan[0] if plan else advice.plan.title
    return AdviceInShort(f"Advised: {what}. The form is filled in accordingly.", advice.blockers)


def plan_options(advice: Recommendation | None) -> list[dict[str, str]]:
    return [
        {
            "value": plan,
            "text": title + (" (advised)" if advice and advice.plan.id == plan else ""),
            "hint": hint,
        }
        for plan, (title, hint) in PLAN_TITLES.items()
    ]


# What the worker has


def model_options(models: Sequence[ModelSummary], origins: Mapping[str, Run]) -> list[dict[str, str]]:
    local = [
        {"value": f"local:{model.ref.name}", "text": model.title, "hint": _about(model)}
        for model in models
        if model.ref.kind == "local"
    ]
    earlier = [
        {
            "value": value,
            "text": f"The model of “{run.spec.name}”",
            "hint": "Goes on training what that run made.",
        }
        for value, run in origins.items()
    ]
    return [
        {
            "value": "starter",
            "text": "Starter model",
            "hint": "A stand-in for your model: about a million parameters, trained by the worker itself. "
            "It shows the whole road in minutes, without a download.",
        },
        *local,
        *earlier,
        {
            "value": "hub",
            "text": "A model from the Hugging Face hub",
            "hint": "Downloaded by the worker; safetensors only, no code from the hub is run.",
        },
    ]


def _about(model: ModelSummary) -> str:
    parameters = f"{model.parameters / 1e6:,.1f} million parameters. " if model.parameters else ""
    return (parameters + (model.note or "")).strip() or "In the worker’s models folder."


def dataset_options(
    summaries: Mapping[str, DatasetSummary], uploaded: Sequence[Dataset]
) -> list[dict[str, str]]:
    own = [
        {"value": f"uploaded:{row.sha256}", "text": row.name, "hint": f"Yours. {allows(row.summary)}"}
        for row in {row.sha256: row for row in uploaded}.values()
    ]
    made = [
        {
            "value": f"generated:{name}",
            "text": f"{task.title} (generated)",
            "hint": " ".join(
                [task.description, allows(summaries[name]) if name in summaries else ""]
            ).strip(),
        }
        for name, task in generated.TASKS.items()
    ]
    return own + made


def pair_options(
    summaries: Mapping[str, DatasetSummary], uploaded: Sequence[Dataset]
) -> list[tuple[str, str]]:
    """Datasets of preference pairs."""
    pairs = _with_pairs(summaries, uploaded)
    options = dataset_options(summaries, uploaded)
    return [(each["value"], each["text"]) for each in options if each["value"] in pairs]


def probe_options(
    summaries: Mapping[str, DatasetSummary], uploaded: Sequence[Dataset]
) -> list[dict[str, str]]:
    """Datasets whose prompts can be answered and graded."""
    pairs = _with_pairs(summaries, uploaded)
    return [each for each in dataset_options(summaries, uploaded) if each["value"] not in pairs]


def guard_options(
    summaries: Mapping[str, DatasetSummary], uploaded: Sequence[Dataset]
) -> list[tuple[str, str]]:
    return [(each["value"], each["text"]) for each in probe_options(summaries, uploaded)]


def _with_pairs(summaries: Mapping[str, DatasetSummary], uploaded: Sequence[Dataset]) -> set[str]:
    known = dict(summaries) | {row.sha256: row.summary for row in uploaded}
    kinds = {key: "uploaded" if len(key) == 64 else "generated" for key in known}
    return {f"{kinds[key]}:{key}" for key, summary in known.items() if summary.preferences}


def allows(summary: DatasetSummary) -> str:
    """`120 demonstrations and 4,000 prompts: SFT and GRPO.`"""
    kinds = (
        (summary.demonstrations, "demonstrations"),
        (summary.prompts, "prompts"),
        (summary.preferences, "preference pairs"),
        (summary.texts, "texts"),
    )
    counts = [f"{count:,} {word if count > 1 else word[:-1]}" for count, word in kinds if count]
    return f"{' and '.join(counts)}: {_methods(summary)}."


def _methods(summary: DatasetSummary) -> str:
    if summary.preferences:
        return "a reward model"
    if summary.texts:
        return "SFT as language modelling; there is no answer to grade"
    if summary.demonstrations:
        return "SFT and GRPO"
    return "GRPO, but not SFT: there are no answers to learn from"


def unfit(spec: RunSpec, summary: DatasetSummary | None) -> str:
    """Why a dataset cannot serve a stage; empty where it can, or where the worker did not say."""
    if summary is None:
        return ""
    match spec.recipe.kind:
        case "sft" if not (summary.demonstrations or summary.texts):
            return "SFT needs demonstrations, and this dataset has none."
        case "grpo" if not (summary.demonstrations or summary.prompts):
            return "GRPO needs prompts, and this dataset has none."
        case "reward_model" if not summary.preferences:
            return "A reward model needs preference pairs: a prompt with a chosen and a rejected answer."
    return ""


def tuning_options(device: Device | None) -> list[dict[str, str]]:
    """QLoRA is offered where it can run; an unknown worker may be able to."""
    no_cuda = device is not None and device.kind != "cuda"
    return [
        {
            "value": "full",
            "text": "All weights",
            "hint": "Learns most and needs most memory: about 16 bytes a parameter.",
            "lacks": "",
        },
        {
            "value": "lora",
            "text": "LoRA",
            "hint": "Low-rank adapters beside frozen weights: far less memory, and a small file to keep.",
            "lacks": "",
        },
        {
            "value": "qlora",
            "text": "QLoRA",
            "hint": "LoRA over weights in 4 bits: least memory, somewhat slower.",
            "lacks": f"Needs a CUDA GPU; this worker trains on {device.name}." if no_cuda and device else "",
        },
    ]


# Not as advised


def override(plan: str, advice: Recommendation) -> str:
    chosen = PLAN_TITLES[plan][0] if plan in PLAN_TITLES else plan
    advised = PLAN_TITLES.get(advice.plan.id, (advice.plan.title, ""))[0]
    if plan != advice.plan.id:
        return f"The advice was {advised}; this launches {chosen}."
    return "The advice was to fix something first."
