"""Trains the starter model from nothing: a million parameters, and habits that fine-tuning can change."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from trl import SFTConfig, SFTTrainer

from app.datasets import generated
from app.datasets.generated.corpus import corpus
from app.engine.evaluation import measure
from app.engine.health import SFT_RULES, Monitor
from app.engine.loading import Loaded
from app.engine.model_files import Found
from app.engine.reporting import Run
from app.engine.stages import fit
from app.engine.watcher import Watcher
from app.protocol import Evaluation, EvaluationEvent, GeneratedDataset, RunState

END, PAD = "<|end|>", "<|pad|>"
SPECIAL = [PAD, END, "<|system|>", "<|user|>", "<|assistant|>"]

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

VOCABULARY = 1024
CONTEXT = 1024
BATCH = 32
MATRICES_RATE, OTHERS_RATE = 2e-2, 4e-3
"""Learning rates of Muon for the weight matrices and of AdamW for the rest."""
SEED = 0

EXPECTED = {
    "rulings": (0.10, 0.30),
    "clauses": (0.0, 0.20),
    "impossible": (0.0, 0.0),
    "mastered": (0.95, 1.0),
}
"""Sampled success at temperature 1: part of what the starter is. Outside, it would still train, but the
examples built on it would tell another story."""


def train(run: Run) -> None:
    run.enter(RunState.STARTING, "writing the texts to learn from")
    pairs = corpus()
    tokenizer = _tokenizer(pairs)
    torch.set_num_threads(run.inputs.threads)
    torch.manual_seed(SEED)
    model = Qwen3ForCausalLM(_architecture(tokenizer)).to(run.inputs.device)
    loaded = Loaded(model, tokenizer, Found(Path(), "random weights"), model.num_parameters())
    watcher = Watcher(run, Monitor(SFT_RULES))
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        args=_config(run, len(pairs)),
        train_dataset=_dataset(tokenizer, pairs),
        callbacks=[watcher],
        optimizers=(MuonAndAdamW(model), None),
    )
    fit(run, trainer, watcher)
    rates = _base_rates(run, loaded)
    _keep(run, loaded, rates)


class MuonAndAdamW(torch.optim.Optimizer):
    """Muon learns the facts of these tasks from about a third of the texts that AdamW alone needs."""

    def __init__(self, model: torch.nn.Module) -> None:
        weights = dict(model.named_parameters())
        matrices = [w for name, w in weights.items() if w.ndim == 2 and "embed" not in name]
        others = [w for name, w in weights.items() if w.ndim != 2 or "embed" in name]
        self._muon = torch.optim.Muon(matrices, lr=MATRICES_RATE, weight_decay=0.0)
        self._adamw = torch.optim.AdamW(others, lr=OTHERS_RATE, betas=(0.9, 0.95), weight_decay=0.0)
        super().__init__([*matrices, *others], {})
        # The scheduler sets the rates of these groups, so they have to be the two optimizers' own.
        self.param_groups = [*self._muon.param_groups, *self._adamw.param_groups]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # the trainer passes no closure
        self._muon.step()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._adamw.step()


def _tokenizer(pairs: list[tuple[str, str]]) -> PreTrainedTokenizerFast:
    """Bytes first, so that any language and any code can be written; then the tasks' own words."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        (f"{prompt}\n{answer}" for prompt, answer in pairs[:4000]),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=END, pad_token=PAD, chat_template=TEMPLATE, padding_side="left"
    )


def _architecture(tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _config(run: Run, texts: int) -> Any:
    return SFTConfig(
        output_dir=str(run.dir.trainer_dir),
        per_device_train_batch_size=BATCH,
        lr_scheduler_type="cosine",
        warmup_steps=20,
        max_grad_norm=1.0,
        max_steps=math.ceil(texts / BATCH),
        max_length=CONTEXT,
        completion_only_loss=True,
        seed=SEED,
        use_cpu=run.inputs.device != "cuda",
        bf16=False,
        activation_checkpointing=False,
        dataloader_pin_memory=run.inputs.device == "cuda",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
    )


def _dataset(tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]) -> Any:
    return Dataset.from_list(list(_tokenized(tokenizer, pairs)))


def _tokenized(tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    user, assistant = tokenizer.convert_tokens_to_ids(["<|user|>", "<|assistant|>"])
    end = tokenizer.eos_token_id
    prompts = tokenizer([prompt for prompt, _ in pairs])["input_ids"]
    answers = tokenizer([answer for _, answer in pairs])["input_ids"]
    for prompt, answer in zip(prompts, answers, strict=True):
        asked, said = [user, *prompt, end, assistant], [*answer, end]
        yield {"input_ids": asked + said, "completion_mask": [0] * len(asked) + [1] * len(said)}


def _base_rates(run: Run, loaded: Loaded) -> dict[str, float]:
    """The rulings' measurement is the run's own; what the others came to is noted in its log."""
    run.enter(RunState.EVALUATING, "measuring what the starter can do")
    found = {name: _measured(run, loaded, name) for name in generated.NAMES}
    run.say(EvaluationEvent(evaluation=found["rulings"]))
    for name, evaluation in found.items():
        rate, (low, high) = evaluation.sampled.value, EXPECTED[name]
        verdict = "as expected" if low <= rate <= high else f"outside {low:.0%} to {high:.0%}"
        run.note(f"{name}: {rate:.1%} right when sampled, {verdict}.")
    return {name: evaluation.sampled.value for name, evaluation in found.items()}


def _measured(run: Run, loaded: Loaded, name: str) -> Evaluation:
    spec = run.spec.model_copy(
        update={
            "dataset": GeneratedDataset.model_validate({"name": name}),
            "grader": generated.grader(name),
            "draft_grader": generated.draft_grader(name),
            "evaluation": generated.EVALUATION,
        }
    )
    return measure(run, spec, "after", loaded, generated.generate(name).held_out)


def _keep(run: Run, loaded: Loaded, rates: dict[str, float]) -> None:
    making = run.dir.path / ".model.new"
    shutil.rmtree(making, ignore_errors=True)
    loaded.model.save_pretrained(making)
    loaded.tokenizer.save_pretrained(making)
    table = "\n".join(f"| {name} | {rate:.1%} |" for name, rate in rates.items())
    (making / "README.md").write_text(
        "# Starter model\n\n"
        "A stand-in for your own model, trained from nothing on texts that this project writes.\n\n"
        f"| task | right, sampled |\n|---|---|\n{table}\n",
        encoding="utf-8",
    )
    making.rename(run.dir.model_dir)
    shutil.rmtree(run.dir.trainer_dir, ignore_errors=True)
