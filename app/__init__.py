"""Tuning Fork: SFT or GRPO? Advice with evidence, and the training run that follows from it."""

__version__ = "0.1.0"
