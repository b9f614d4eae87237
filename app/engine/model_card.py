"""README.md of a trained model: where it comes from, what it was measured to do, how to load and serve it."""

from importlib.metadata import version
from pathlib import Path

from app.engine.loading import Loaded
from app.engine.reporting import Run
from app.protocol import DatasetRef, Evaluation, HubModel, Share, UploadedDataset

METHODS = {"sft": "SFT (supervised fine-tuning)", "grpo": "GRPO (Group Relative Policy Optimization)"}

LIBRARIES = ("trl", "transformers", "torch")


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
            "## Load",
            _LOAD,
            "## Serve",
            _SERVE,
            "## Recipe",
            self._recipe(),
        ]
        return "\n\n".join(parts) + "\n"

    def _front_matter(self) -> str:
        model = self._run.spec.model
        base = [f"base_model: {model.id}"] if isinstance(model, HubModel) else []
        lines = ["library_name: transformers", "pipeline_tag: text-generation", *base]
        return "\n".join(["---", *lines, "tags:", f"- {self._run.spec.recipe.kind}", "- trl", "---"])

    def _recipe(self) -> str:
        settings = self._run.spec.recipe.model_dump(exclude={"kind"})
        settings |= {"seed": self._run.spec.seed, "parameters": f"{self._loaded.parameters:,}"}
        settings |= {name: version(name) for name in LIBRARIES}
        rows = [f"| {name} | {'-' if value is None else value} |" for name, value in settings.items()]
        return "\n".join(["| setting | value |", "|---|---|", *rows])


def measured(before: Evaluation | None, after: Evaluation | None) -> str:
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

_SERVE = """```sh
vllm serve path/to/this/directory
```"""
