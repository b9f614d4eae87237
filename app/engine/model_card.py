"""README.md of a trained model: where it comes from, what it was measured to do, how to load and serve it."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

from app.engine.loading import Loaded
from app.engine.reporting import Run, flat
from app.protocol import DatasetRef, Evaluation, HealthEvent, HubModel, Share, UploadedDataset

METHODS = {
    "sft": "SFT (supervised fine-tuning)",
    "grpo": "GRPO (Group Relative Policy Optimization)",
    "reward_model": "preference pairs as a reward model",
}

LIBRARIES = ("trl", "transformers", "peft", "torch")


class Card:
    def __init__(self, run: Run, loaded: Loaded, trained_on: int, before: Evaluation | None) -> None:
        self._run = run
        self._loaded = loaded
        self._trained_on = trained_on
        self._before = before

    def write(self, folder: Path, after: Evaluation | None) -> None:
        making = folder / ".README.md.new"
        making.write_text(self.text(after), encoding="utf-8")
        making.replace(folder / "README.md")

    def text(self, after: Evaluation | None) -> str:
        spec = self._run.spec
        assert spec.dataset is not None
        parts = [
            self._front_matter(),
            f"# {_plain(spec.name)}",
            f"Trained with {METHODS[spec.recipe.kind]}, starting from {self._loaded.source}, for "
            f"{self._run.steps_done} of {self._run.total_steps} steps "
            f"on {self._trained_on} rows of {in_words(spec.dataset)}.",
            "## Measured",
            measured(self._before, after),
            *self._findings(),
            *self._use(),
            "## Recipe",
            self._recipe(),
        ]
        return "\n\n".join(parts) + "\n"

    def _front_matter(self) -> str:
        model = self._run.spec.model
        base = [f"base_model: {model.id}"] if isinstance(model, HubModel) else []
        task = "text-classification" if self._run.spec.recipe.kind == "reward_model" else "text-generation"
        lines = ["library_name: transformers", f"pipeline_tag: {task}", *base]
        return "\n".join(["---", *lines, "tags:", f"- {self._run.spec.recipe.kind}", "- trl", "---"])

    def _findings(self) -> list[str]:
        """What was noticed while it trained; whoever uses the model should know."""
        found = self._run.said(HealthEvent)
        lines = [f"- Step {each.step}: {each.sentence}" for each in found]
        return ["## Noticed while training", "\n".join(lines)] if lines else []

    def _use(self) -> list[str]:
        if self._run.spec.recipe.kind == "reward_model":
            return ["## Load", _LOAD_REWARD_MODEL]
        return ["## Load", _LOAD, "## Serve", _SERVE]

    def _recipe(self) -> str:
        settings = flat(self._run.spec.recipe.model_dump(exclude={"kind"}))
        settings |= {"seed": self._run.spec.seed, "parameters": f"{self._loaded.parameters:,}"}
        settings |= {name: version(name) for name in LIBRARIES}
        rows = [f"| {name} | {'-' if value is None else value} |" for name, value in settings.items()]
        return "\n".join(["| setting | value |", "|---|---|", *rows])


def measured(before: Evaluation | None, after: Evaluation | None) -> str:
    known = [(when, each) for when, each in (("before", before), ("after", after)) if each]
    if not known:
        return "Not measured."
    if known[0][1].agreement:
        return _agreement(known)
    parts = [_shares(before, after)] if known[0][1].sampled_outcomes else []
    return "\n\n".join([*parts, *_by_grader(known), *_losses(known)])


def _shares(before: Evaluation | None, after: Evaluation | None) -> str:
    items = next((len(each.sampled_outcomes) for each in (before, after) if each), 0)
    lines = [
        f"Share of {items} held-out items answered right, with 95 % intervals (Wilson):",
        "",
        "| | sampled | greedy |",
        "|---|---|---|",
        _row("before", before),
        _row("after", after),
    ]
    return "\n".join(lines)


def _row(when: str, found: Evaluation | None) -> str:
    if found is None:
        return f"| {when} | not measured | not measured |"
    return f"| {when} | {_share(found.sampled)} | {_share(found.greedy)} |"


def _by_grader(known: Sequence[tuple[str, Evaluation]]) -> Iterator[str]:
    """Mean scores, where more than the one grader was asked or it gives partial credit."""
    rows = [
        f"| {when} | {_plain(scores.grader)} | {scores.role} "
        f"| {_mean(scores.sampled)} | {_mean(scores.greedy)} |"
        for when, each in known
        for scores in each.scores
    ]
    if rows:
        head = ["| | grader | role | mean, sampled | mean, greedy |", "|---|---|---|---|---|"]
        yield "\n".join([*head, *rows])


def _losses(known: Sequence[tuple[str, Evaluation]]) -> Iterator[str]:
    told = [f"{each.loss:.4f} {when}" for when, each in known if each.loss is not None]
    if told:
        yield f"Held-out loss, in nats a token: {', '.join(told)}."


def _agreement(known: Sequence[tuple[str, Evaluation]]) -> str:
    lines = [
        "Of two held-out answers, how often it prefers the one that people preferred, "
        "with 95 % intervals (Wilson):",
        "",
        "| | agreement | mean margin | expected calibration error |",
        "|---|---|---|---|",
    ]
    for when, each in known:
        if each.agreement:
            error = f"{each.agreement.expected_calibration_error:.3f}"
            lines.append(
                f"| {when} | {_share(each.agreement.share)} | {each.agreement.margin:.3f} | {error} |"
            )
    return "\n".join(lines)


def _mean(scores: Sequence[float | None]) -> str:
    known = [score for score in scores if score is not None]
    return f"{fmean(known):.3f}" if known else "-"


def in_words(dataset: DatasetRef) -> str:
    if isinstance(dataset, UploadedDataset):
        return f"an uploaded dataset (SHA-256 {dataset.sha256})"
    return f"the generated dataset “{dataset.name}”"


def _share(share: Share) -> str:
    return f"{share.value:.1%} ({share.interval.low:.1%} to {share.interval.high:.1%})"


def _plain(name: str) -> str:
    """A run's name is a heading here, not markup."""
    return "".join(f"\\{character}" if character in "\\`*_[]<>#|" else character for character in name)


_LOAD = """```python
from transformers import pipeline

answer = pipeline("text-generation", model="path/to/this/directory")
print(answer([{"role": "user", "content": "..."}], return_full_text=False)[0]["generated_text"])
```"""

_LOAD_REWARD_MODEL = """```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/this/directory")
model = AutoModelForSequenceClassification.from_pretrained("path/to/this/directory")
said = [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]
inputs = tokenizer.apply_chat_template(said, return_tensors="pt", return_dict=True)
print(model(**inputs).logits.item())  # only differences between answers to one prompt mean something
```"""

_SERVE = """```sh
vllm serve path/to/this/directory
```"""
