"""The same training with nothing of this project: TRL's configuration, a short script, rows and grader."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from app.datasets.formats import Row
from app.engine import vendoring
from app.engine.bundle_texts import readme, reward_module, train_script
from app.engine.loading import PLAIN_TEMPLATE, Loaded, trains_in_bf16
from app.engine.reporting import Run
from app.engine.rows import conversation
from app.engine.trl_config import recomputes, settings
from app.engine.tuning import adapter_settings, weights
from app.protocol import HubModel

START = "start"
"""Folder that the starting model is expected in, where it is not on the hub."""

COMMANDS = {"sft": "sft", "grpo": "grpo", "reward_model": "reward"}
"""TRL's own, by the recipe's kind."""

PLAIN = {"logging_steps": 1, "logging_nan_inf_filter": False, "report_to": "none", "save_strategy": "no"}


def write(run: Run, loaded: Loaded, learned: Sequence[Mapping[str, Any]], held_out: Sequence[Row]) -> None:
    """`learned` as the trainer took it, in its order."""
    making = run.dir.path / ".bundle.new"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    _write_rows(making / "train.jsonl", learned)
    _write_rows(making / "held_out.jsonl", [_as_it_came(row) for row in held_out])
    given = _settings(run, loaded, bool(learned) and "text" in learned[0])
    has_template = loaded.tokenizer.chat_template == PLAIN_TEMPLATE
    if has_template:
        (making / "chat_template.jinja").write_text(PLAIN_TEMPLATE, encoding="utf-8")
    if run.spec.grader:
        _write_grader(run, making)
    command = COMMANDS[run.spec.recipe.kind]
    _write_configuration(run, loaded, making / f"{command}.yaml", given, has_template)
    adapter, (model, revision) = adapter_settings(run.spec), _start(run, loaded)
    script = train_script(run.spec, given, adapter, model, revision, _dtype(run), has_template)
    (making / "train.py").write_text(script, encoding="utf-8")
    requirements = vendoring.requirements(making, needs_peft=adapter is not None)
    (making / "requirements.txt").write_text(requirements, encoding="utf-8")
    text = readme(run.spec, command, loaded.source, run.inputs.device, _hashes(making))
    (making / "README.md").write_text(text, encoding="utf-8")
    shutil.rmtree(run.dir.bundle_dir, ignore_errors=True)
    making.rename(run.dir.bundle_dir)


def _settings(run: Run, loaded: Loaded, learns_texts: bool) -> dict[str, Any]:
    given = settings(
        run.spec,
        on_cuda=run.inputs.device == "cuda",
        bf16=trains_in_bf16(run),
        recomputes=recomputes(run, loaded),
        learns_texts=learns_texts,
    )
    if run.spec.train_minutes is not None:
        given["max_steps"] = run.steps_done  # as far as the budget of time went on this machine
    return {**{name: value for name, value in given.items() if value is not None}, **PLAIN}


def _start(run: Run, loaded: Loaded) -> tuple[str, str | None]:
    """Name or folder, and the commit."""
    if isinstance(run.spec.model, HubModel) and run.spec.starts_from is None:
        return run.spec.model.id, loaded.folder.name
    return START, None


def _dtype(run: Run) -> str:
    return str(weights(run).dtype).removeprefix("torch.")


def _write_configuration(
    run: Run, loaded: Loaded, file: Path, given: Mapping[str, Any], has_template: bool
) -> None:
    model, revision = _start(run, loaded)
    written = {
        "model_name_or_path": model,
        **({"model_revision": revision} if revision else {}),
        "dtype": _dtype(run),
        "attn_implementation": "sdpa",
        "datasets": [{"path": "json", "data_files": "train.jsonl"}],
        "output_dir": "trained",
        **given,
        **_adapter_of_the_command(adapter_settings(run.spec), run.spec.recipe),
        **({"chat_template_path": "chat_template.jinja"} if has_template else {}),
        **({"reward_funcs": ["reward.grader"]} if run.spec.recipe.kind == "grpo" else {}),
    }
    file.write_text(yaml.safe_dump(written, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _adapter_of_the_command(adapter: Mapping[str, Any] | None, recipe: Any) -> dict[str, Any]:
    """As TRL's command line names what peft names otherwise."""
    if adapter is None:
        return {}
    names = adapter["target_modules"]
    found = {
        "use_peft": True,
        "lora_r": adapter["r"],
        "lora_alpha": adapter["lora_alpha"],
        "lora_dropout": adapter["lora_dropout"],
        "lora_target_modules": [names] if isinstance(names, str) else names,
        "lora_task_type": adapter["task_type"],
    }
    if "modules_to_save" in adapter:
        found["lora_modules_to_save"] = adapter["modules_to_save"]
    if recipe.tuning.kind == "qlora":
        found |= {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "use_bnb_nested_quant": True}
    return found


def _write_grader(run: Run, folder: Path) -> None:
    assert run.spec.grader is not None
    grader = run.spec.grader.model_dump_json(indent=2, by_alias=True)
    (folder / "grader.json").write_text(grader, encoding="utf-8")
    (folder / "reward.py").write_text(reward_module(run.inputs.sandbox), encoding="utf-8")
    vendoring.copy(folder / "vendor")


def _write_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with file.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _as_it_came(row: Row) -> dict[str, Any]:
    if row.is_text:
        return {"text": row.text}
    if row.chosen is not None and row.rejected is not None:
        pair = {"chosen": conversation(row.chosen), "rejected": conversation(row.rejected)}
        return {"prompt": conversation(row.prompt), **pair}
    return {"messages": conversation(row.messages), "item": row.item}


def _hashes(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("train.jsonl", "held_out.jsonl")
    }
