"""Prints TRL's own fields and defaults as JSON: run as a program, so that no test process imports torch."""

import dataclasses
import json
import sys

from trl import GRPOConfig, RewardConfig, SFTConfig

CONFIGS = {"sft": SFTConfig, "grpo": GRPOConfig, "reward_model": RewardConfig}


def defaults(config: type) -> dict[str, object]:
    found = {field.name: field.default for field in dataclasses.fields(config)}
    return {
        name: value if isinstance(value, bool | int | float | str | None) else str(value)
        for name, value in found.items()
        if value is not dataclasses.MISSING
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps({method: defaults(config) for method, config in CONFIGS.items()}))
