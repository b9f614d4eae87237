"""Known failures recognised by rules over the trainer's own metrics and over the checks during training."""

from app.engine.health import grpo
from app.engine.health.both import BOTH_RULES, FORGETS, forgetting
from app.engine.health.goal import GOAL_RULES
from app.engine.health.series import Monitor, Rule
from app.engine.health.sft import REWARD_MODEL_RULES, SFT_RULES

__all__ = [
    "BOTH_RULES",
    "FORGETS",
    "GRPO_RULES",
    "REWARD_MODEL_RULES",
    "SFT_RULES",
    "Monitor",
    "Rule",
    "forgetting",
]

GRPO_RULES = (
    *BOTH_RULES,
    Rule("never_any_signal", "stop", "frac_reward_zero_std", ("axolotl", "vllora"), grpo.never_any_signal),
    Rule("signal_lost", "stop", "reward", ("own",), grpo.signal_lost),
    Rule("dead_groups", "warn", "frac_reward_zero_std", ("axolotl", "vllora", "yu2025"), grpo.dead_groups),
    Rule("entropy_collapses", "warn", "entropy", ("cui2025", "own"), grpo.entropy_collapses),
    Rule("truncation", "warn", "completions/clipped_ratio", ("axolotl", "vllora"), grpo.truncation),
    Rule("truncation_grows", "warn", "completions/clipped_ratio", ("liu2025", "own"), grpo.truncation_grows),
    Rule("all_cut_off", "stop", "completions/clipped_ratio", ("vllora", "own"), grpo.all_cut_off),
    Rule("length_collapses", "warn", "completions/mean_length", ("vllora", "own"), grpo.length_collapses),
    Rule("length_grows", "warn", "completions/mean_length", ("ms-azure", "liu2025"), grpo.length_grows),
    Rule(
        "length_runs_away", "stop", "completions/mean_length", ("ms-azure", "liu2025"), grpo.length_runs_away
    ),
    Rule(
        "wrong_answers_grow", "warn", "completions/mean_length", ("liu2025", "own"), grpo.wrong_answers_grow
    ),
    Rule("no_progress", "warn", "reward", ("unsloth", "own"), grpo.no_progress),
    Rule("reward_falls_back", "warn", "reward", ("dang2025", "own"), grpo.reward_falls_back),
    *GOAL_RULES,
    Rule("drifts", "warn", "kl", ("vllora", "own"), grpo.drifts),
    Rule("drifts_far", "stop", "kl", ("vllora", "own"), grpo.drifts_far),
    Rule(
        "engines_disagree",
        "warn",
        "sampling/importance_sampling_ratio/mean",
        ("trl-1.16", "own"),
        grpo.engines_disagree,
    ),
    Rule("grader_fails", "stop", "grader/errors", ("ms-azure", "own"), grpo.grader_fails),
    Rule("grader_sometimes_fails", "warn", "grader/errors", ("ms-azure", "own"), grpo.grader_sometimes_fails),
    Rule("finished_early", "info", "reward", ("nimmaturi2025", "own"), grpo.finished_early),
)
