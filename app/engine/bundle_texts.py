"""The files of a bundle that people read: the script, the reward module and the README."""

from collections.abc import Mapping
from typing import Any

from app.protocol import RunSpec, SandboxLimits, TrainingRecipe

TRAINERS = {"sft": "SFT", "grpo": "GRPO", "reward_model": "Reward"}


def train_script(
    spec: RunSpec,
    settings: Mapping[str, Any],
    adapter: Mapping[str, Any] | None,
    model: str,
    revision: str | None,
    dtype: str,
    has_template: bool,
) -> str:
    """Every value in it is a number, a flag or one of a few known words, so none can be read as code."""
    kind, trainer = spec.recipe.kind, TRAINERS[spec.recipe.kind]
    grades = kind == "reward_model"
    auto = "AutoModelForSequenceClassification" if grades else "AutoModelForCausalLM"
    quantized = _is_qlora(spec)
    parts = [
        '"""Trains the model again with TRL alone: python train.py [STARTING MODEL: FOLDER OR HUB ID]"""\n',
        "import json\nimport sys\nfrom pathlib import Path\n",
        _imports(kind, trainer, auto, adapter is not None, quantized),
        f"MODEL = sys.argv[1] if len(sys.argv) > 1 else {model!r}",
        f"REVISION = {revision!r}  # a commit, where the model is from the hub\n",
        'tokenizer = AutoTokenizer.from_pretrained(MODEL, revision=REVISION, padding_side="left")',
        "tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token",
    ]
    if has_template:
        parts.append('tokenizer.chat_template = Path("chat_template.jinja").read_text()')
    parts.append(_model(spec, auto, dtype, grades, quantized))
    parts.append(_arguments(trainer, settings))
    parts.append(_trainer(kind, trainer, adapter))
    parts.append(_END)
    return "\n".join(parts)


def _is_qlora(spec: RunSpec) -> bool:
    return isinstance(spec.recipe, TrainingRecipe) and spec.recipe.tuning.kind == "qlora"


def _imports(kind: str, trainer: str, auto: str, has_adapter: bool, quantized: bool) -> str:
    more = [auto, "AutoTokenizer"]
    more += ["BitsAndBytesConfig"] if quantized else []
    more += ["set_seed"] if kind == "reward_model" else []
    lines = ["import torch", "from datasets import load_dataset"]
    lines += ["from peft import LoraConfig"] if has_adapter else []
    lines += [
        f"from transformers import {', '.join(more)}",
        f"from trl import {trainer}Config, {trainer}Trainer",
    ]
    lines += ["\nfrom reward import grader"] if kind == "grpo" else []
    return "\n".join([*lines, ""])


def _model(spec: RunSpec, auto: str, dtype: str, grades: bool, quantized: bool) -> str:
    more = ", num_labels=1" if grades else ""
    if quantized:
        more += (
            ',\n    quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", '
            f'bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.{dtype}), device_map={{"": 0}}'
        )
    lines = [f"set_seed({spec.seed})  # the head is new and starts at random"] if grades else []
    lines.append(
        f"model = {auto}.from_pretrained(\n    MODEL, revision=REVISION, dtype=torch.{dtype}, "
        f'attn_implementation="sdpa"{more}\n)'
    )
    if grades:
        lines.append("model.config.get_text_config().pad_token_id = tokenizer.pad_token_id")
    return "\n".join([*lines, ""])


def _arguments(trainer: str, settings: Mapping[str, Any]) -> str:
    lines = [f"    {name}={value!r}," for name, value in settings.items()]
    return "\n".join([f"args = {trainer}Config(", '    output_dir="trained",', *lines, ")"])


def _trainer(kind: str, trainer: str, adapter: Mapping[str, Any] | None) -> str:
    lines = [
        f"trainer = {trainer}Trainer(",
        "    model=model,",
        "    processing_class=tokenizer,",
        "    args=args,",
        '    train_dataset=load_dataset("json", data_files="train.jsonl", split="train"),',
    ]
    lines += ["    reward_funcs=grader,"] if kind == "grpo" else []
    if adapter is not None:
        given = ", ".join(f"{name}={value!r}" for name, value in adapter.items())
        lines.append(f"    peft_config=LoraConfig({given}),")
    return "\n".join([*lines, ")"])


_END = """trainer.train()
trainer.save_model("trained")
tokenizer.save_pretrained("trained")
Path("metrics.jsonl").write_text("".join(json.dumps(step) + "\\n" for step in trainer.state.log_history))
"""


def reward_module(sandbox: SandboxLimits) -> str:
    return _REWARD.format(seconds=sandbox.seconds, memory=sandbox.memory_bytes)


_REWARD = '''"""The run's grader: what TRL calls as a reward function, and `score` for one answer.

The code under vendor/ is Tuning Fork's own, unchanged (Apache-2.0). A judge is reached by JUDGE_URL,
JUDGE_MODEL and JUDGE_KEY in the environment; a reward model lies in the folder that REWARD_MODEL names.
"""

import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "vendor"))

from pydantic import TypeAdapter  # noqa: E402

from app.engine.reward_models import RewardModels  # noqa: E402
from app.graders.bench import Answer, Bench, Resources  # noqa: E402
from app.graders.parts import parts  # noqa: E402
from app.protocol import Grader, JudgeEndpoint, RewardModelGrader, SandboxLimits  # noqa: E402

SPEC = TypeAdapter(Grader).validate_json((HERE / "grader.json").read_text(encoding="utf-8"))
JUDGE = os.environ.get("JUDGE_URL")
ASKED = [str(part.run) for part in parts(SPEC) if isinstance(part, RewardModelGrader)]
BENCH = Bench(
    Resources(
        judge=JudgeEndpoint(url=JUDGE, model=os.environ.get("JUDGE_MODEL", "")) if JUDGE else None,
        judge_key=os.environ.get("JUDGE_KEY", ""),
        sandbox=SandboxLimits(seconds={seconds!r}, memory_bytes={memory!r}),
        reward_models=RewardModels(
            {{run: os.environ.get("REWARD_MODEL", "reward_model") for run in ASKED}},
            os.environ.get("REWARD_MODEL_DEVICE", "cpu"),
        ),
    )
)


def grader(prompts, completions, item, **_):
    """None where the grader abstains or fails: such an answer counts for nothing."""
    given = [
        Answer(completion[-1]["content"], json.loads(fields), prompt=in_words(prompt))
        for prompt, completion, fields in zip(prompts, completions, item, strict=True)
    ]
    outcomes = BENCH.grade(SPEC, given)
    return [outcome.value if outcome.kind == "score" else None for outcome in outcomes]


def in_words(turns):
    if len(turns) == 1:
        return turns[0]["content"]
    return "\\n\\n".join(f"{{turn['role']}}: {{turn['content']}}" for turn in turns)


def score(text, item, prompt=""):
    """What one answer gets, with the reason where it gets nothing."""
    return BENCH.grade(SPEC, [Answer(text, item, prompt=prompt)])[0]
'''


def readme(spec: RunSpec, command: str, source: str, device: str, hashes: Mapping[str, str]) -> str:
    graded = (
        "\n| `reward.py`, `grader.json`, `vendor/` | the grader, with its own code |" if spec.grader else ""
    )
    seen = "\n".join(f"| `{name}` | {digest} |" for name, digest in hashes.items())
    return _README.format(
        command=command, source=source, device=device, graded=graded, hashes=seen, seed=spec.seed
    )


_README = """# The same training without Tuning Fork

```sh
python -m venv .venv && . .venv/bin/activate
pip install -r requirements.txt
python train.py                        # the short script
trl {command} --config {command}.yaml  # or TRL's own command line
```

Run either from this folder. The model lands in `trained/`; the script also writes `metrics.jsonl`.

**Starting model:** {source}. Where it is not on the hub, put its files into the folder `start/` beside this
file (they are what `model.zip` of the run it came from holds), or name another place:
`python train.py PLACE`, `trl {command} --config {command}.yaml --model_name_or_path PLACE`.

| file | what |
|---|---|
| `{command}.yaml` | every setting, as TRL's command line takes it |
| `train.py` | the same settings in a script that uses TRL, transformers, datasets and peft only |
| `requirements.txt` | the exact versions that the run used |
| `train.jsonl` | the rows as the trainer took them, in order |
| `held_out.jsonl` | the rows that the run was measured on; never train on them |{graded}

The run trained on {device} with seed {seed}. On the same kind of machine with the same versions each step's
loss and reward come out the same, up to rounding; another device, number of threads or version moves the last
digits, and a sampled training then drifts apart. The settings `use_cpu` and `bf16` say what was used; change
them for another machine.

| file | SHA-256 |
|---|---|
{hashes}
"""
