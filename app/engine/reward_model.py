"""Trains a reward model on preference pairs; measured by how often it prefers what people preferred."""

import json
import time
from collections.abc import Sequence
from typing import Any, Literal

from datasets import Dataset
from transformers import AutoModelForSequenceClassification, set_seed
from trl import RewardTrainer

from app.datasets.formats import Row, Split
from app.engine import bundle
from app.engine.agreement import agreement, finding
from app.engine.health import REWARD_MODEL_RULES, Monitor
from app.engine.loading import Loaded, load
from app.engine.measuring import LONGEST_SHOWN
from app.engine.model_card import Card
from app.engine.model_files import Found
from app.engine.reporting import CannotTrain, Run, readable
from app.engine.reward_scorer import CALIBRATION, Conversation, conversation, rewards, scorer
from app.engine.rows import in_words
from app.engine.stages import fit, keep
from app.engine.tracking import Tracking
from app.engine.trl_config import config
from app.engine.tuning import adapter_config
from app.engine.watcher import Watcher
from app.protocol import (
    Evaluation,
    EvaluationEvent,
    RewardModelRecipe,
    RunState,
    SampledAnswer,
    Score,
)
from app.run_dir import write_durably

__all__ = ["learned", "scorer", "train"]


def train(run: Run, split: Split, found: Found) -> None:
    recipe = run.spec.recipe
    assert isinstance(recipe, RewardModelRecipe)
    set_seed(run.spec.seed)  # the head is new and starts at random
    loaded = load(run, found, AutoModelForSequenceClassification, num_labels=1)
    loaded.model.config.get_text_config().pad_token_id = loaded.tokenizer.pad_token_id
    _refuse_long(split.train, loaded, recipe.max_length)
    before = run.measured("before") or _evaluate(run, "before", loaded, split.held_out)[0]
    taken = [learned(row) for row in split.train]
    watcher = Watcher(run, Monitor(REWARD_MODEL_RULES, run.spec.on_finding))
    trainer = RewardTrainer(
        model=loaded.model,
        processing_class=loaded.tokenizer,
        args=config(run, loaded),
        train_dataset=Dataset.from_list(taken),
        callbacks=[watcher, Tracking(run)],
        peft_config=adapter_config(run.spec),
    )
    loaded = loaded.trained(trainer.model)
    fit(run, trainer, watcher)
    bundle.write(run, loaded, taken, split.held_out)
    card = Card(run, loaded, len(split.train), before)
    keep(run, loaded, card)
    after, centre = _evaluate(run, "after", loaded, split.held_out)
    write_durably(run.dir.model_dir / CALIBRATION, json.dumps({"centre": centre}).encode())
    if after.agreement and (warning := finding(after.agreement, run.steps_done)):
        run.say(warning)
    card.write(run.dir.model_dir, after)
    watcher.tell_if_stopped()


def learned(row: Row) -> dict[str, Conversation]:
    chosen, rejected = both(row)
    return {"chosen": chosen, "rejected": rejected}


def both(row: Row) -> tuple[Conversation, Conversation]:
    """The two answers as the model will meet answers when it grades: a prompt in one text, and an answer."""
    prompt = in_words(row.prompt)
    assert row.chosen is not None
    assert row.rejected is not None
    return conversation(prompt, in_words(row.chosen)), conversation(prompt, in_words(row.rejected))


def _refuse_long(pairs: Sequence[Row], loaded: Loaded, max_length: int) -> None:
    """The trainer would leave such pairs out without a word."""
    given = [each for row in pairs for each in both(row)]
    tokens = loaded.tokenizer.apply_chat_template(given, tokenize=True, return_dict=True)["input_ids"]
    lengths = [max(len(a), len(b)) for a, b in zip(tokens[::2], tokens[1::2], strict=True)]
    too_long = sum(length > max_length for length in lengths)
    if too_long:
        raise CannotTrain(
            f"{too_long} of {len(lengths)} pairs are longer than max_length ({max_length} tokens); "
            f"the longest has {max(lengths)}. Raise max_length or shorten them."
        )


def _evaluate(
    run: Run, when: Literal["before", "after"], loaded: Loaded, pairs: Sequence[Row]
) -> tuple[Evaluation, float]:
    """What was measured, and the mean reward of all answers. Shares and marks count pairs, not answers."""
    run.enter(RunState.EVALUATING, f"measuring {len(pairs)} held-out pairs {when} training")
    started = time.monotonic()
    loaded.model.eval()
    given = [each for row in pairs for each in both(row)]
    found = rewards(loaded.model, loaded.tokenizer, given)
    margins = [chosen - rejected for chosen, rejected in zip(found[::2], found[1::2], strict=True)]
    agreed = agreement(margins)
    marks = "".join("1" if margin > 0 else "0" for margin in margins)
    evaluation = Evaluation(
        when=when,
        sampled=agreed.share,
        greedy=agreed.share,
        sampled_outcomes=marks,
        greedy_outcomes=marks,
        abstained=0,
        errors=0,
        mean_tokens=0.0,
        agreement=agreed,
        clipped=0.0,
        samples=[
            _sample(index, pairs[index], margins[index])
            for index in range(min(run.spec.evaluation.samples_shown, len(pairs)))
        ],
        seconds=time.monotonic() - started,
    )
    run.say(EvaluationEvent(evaluation=evaluation))
    return evaluation, sum(found) / len(found)


def _sample(index: int, row: Row, margin: float) -> SampledAnswer:
    """The answer that the model prefers beside the one that people preferred."""
    chosen, rejected = both(row)
    texts: dict[bool, Any] = {True: chosen[-1]["content"], False: rejected[-1]["content"]}
    return SampledAnswer(
        item=index,
        prompt=readable(in_words(row.prompt), LONGEST_SHOWN),
        output_text=readable(texts[margin > 0], LONGEST_SHOWN),
        reference=readable(texts[True], LONGEST_SHOWN),
        outcome=Score(value=float(margin > 0)),
    )
