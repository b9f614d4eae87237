"""The same SFT and GRPO as a script of one's own would run them: TRL and nothing else.

    .venv/bin/python benchmarks/bare_trl.py sft|grpo MODEL ROWS.jsonl OUT STEPS SEED

What `engine_overhead.py` and `first_metric.py` measure the engine against. Settings are the starter model's.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

SHARED = {
    "lr_scheduler_type": "constant",
    "max_grad_norm": 1.0,
    "use_cpu": True,
    "bf16": False,
    "activation_checkpointing": False,
    "dataloader_pin_memory": False,
    "logging_steps": 1,
    "report_to": "none",
    "disable_tqdm": True,
    "save_strategy": "no",
}

SFT = {
    "learning_rate": 1e-3,
    "per_device_train_batch_size": 32,
    "max_length": 256,
    "completion_only_loss": True,
}

GRPO = {
    "learning_rate": 5e-5,
    "per_device_train_batch_size": 64,
    "num_generations": 8,
    "max_completion_length": 96,
    "temperature": 1.0,
    "epsilon_high": 0.28,
}


def right_ruling(completions: list[Any], answer: list[str], **_: object) -> list[float]:
    said = [re.findall(r"Ruling: (\w+)", completion[-1]["content"]) for completion in completions]
    return [float(bool(found) and found[-1] == right) for found, right in zip(said, answer, strict=True)]


def main(method: str, model: str, rows: str, out: str, steps: str, seed: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    shared = {**SHARED, "output_dir": f"{out}/trainer", "max_steps": int(steps), "seed": int(seed)}
    given = [json.loads(line) for line in Path(rows).read_text().splitlines()]
    if method == "sft":
        dataset = Dataset.from_list(
            [{"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} for row in given]
        )
        args = SFTConfig(**shared, **SFT)
        trainer = SFTTrainer(loaded, args=args, train_dataset=dataset, processing_class=tokenizer)
    else:
        dataset = Dataset.from_list([{"prompt": row["messages"], "answer": row["answer"]} for row in given])
        trainer = GRPOTrainer(
            loaded,
            reward_funcs=right_ruling,
            args=GRPOConfig(**shared, **GRPO),
            train_dataset=dataset,
            processing_class=tokenizer,
        )
    trainer.train()
    trainer.save_model(f"{out}/model")


if __name__ == "__main__":
    main(*sys.argv[1:])
