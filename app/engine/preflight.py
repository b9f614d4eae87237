"""Checks a run before it is launched: `python -m app.engine.preflight`, inputs on stdin, a line per check.

What needs no torch comes first; the last check trains one real step on the longest rows.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from app.engine import preflight_checks
from app.engine.__main__ import QUIET
from app.engine.failures import in_a_sentence
from app.engine.lines import Lines
from app.engine.reporting import CannotTrain, Run
from app.protocol import (
    Beginning,
    Check,
    Checked,
    CheckName,
    CheckResult,
    Forecast,
    PreflightInputs,
)

if TYPE_CHECKING:
    from app.engine.preflight_sizes import Sizes

Making = Callable[[], Check | tuple[Check, Forecast | None]]


@dataclass
class Preflighting:
    """What earlier checks found, for later ones."""

    inputs: PreflightInputs
    run: Run
    lines: Lines
    found: preflight_checks.Found = field(default_factory=preflight_checks.Found)

    def check_all(self) -> None:
        looked = preflight_checks.Looking(self.run, self.inputs, self.found)
        light: dict[CheckName, Making] = {
            CheckName.MODEL: looked.model,
            CheckName.DATASET: looked.dataset,
            CheckName.BATCH: looked.batch,
            CheckName.HELD_OUT: looked.held_out,
            CheckName.REWARD_MODEL: looked.reward_model,
            CheckName.GRADER: looked.grader,
            CheckName.TRACKING: looked.tracking,
            CheckName.DISK: looked.disk,
            CheckName.SETTINGS: looked.settings,
        }
        for name, make in light.items():
            self._make(name, make)
        sizes: list[Sizes] = []
        heavy: dict[CheckName, Making] = {
            CheckName.LENGTHS: lambda: self._sizes(sizes).lengths(),
            CheckName.MEMORY: lambda: self._sizes(sizes).memory(),
            CheckName.SMOKE_STEP: lambda: self._sizes(sizes).smoke_step(),
        }
        for name, make in heavy.items():
            self._make(name, self._measure(name, make))

    def _measure(self, name: CheckName, make: Making) -> Making:
        """What cannot be looked at fails nowhere but at its own check."""
        if self.found.model is None or self.found.split is None:
            why = "Model or data could not be read, so nothing can be measured."
            return lambda: Check(name=name, result=CheckResult.NOT_APPLICABLE, sentence=why)
        return make

    def _sizes(self, made: "list[Sizes]") -> "Sizes":
        """Importing torch and the trainers takes longest, so it comes last."""
        from app.engine.preflight_sizes import Sizes

        if not made:
            made.append(Sizes(self.run, self.inputs, self.found))
        return made[0]

    def _make(self, name: CheckName, make: Making) -> None:
        self.lines.say(Beginning(name=name))
        try:
            made = make()
        except Exception as error:
            made = Check(name=name, result=CheckResult.FAIL, sentence=_sentence(error))
        check, forecast = made if isinstance(made, tuple) else (made, None)
        self.lines.say(Checked(check=check, forecast=forecast))


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, CannotTrain) else in_a_sentence(error)


def main() -> None:
    os.environ.update(QUIET)
    lines = Lines()
    inputs = PreflightInputs.model_validate_json(lines.first())
    lines.hear()
    run = Run(Path(inputs.run_dir))
    Preflighting(inputs, run, lines).check_all()
    with suppress(OSError):
        run.bench.close()
    os._exit(0)  # taking torch down properly would cost seconds


if __name__ == "__main__":
    main()
