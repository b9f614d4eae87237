"""Holds the model a run started from and the one it made, and answers questions with both, token by token.

`python -m app.engine.playground`: its first line of stdin is a PlaygroundInputs, each further one a question
or an empty line, which means Stop. What it says on stdout are the lines of `app.protocol.playground`.
"""

import queue
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from app.engine import model_files, rows
from app.engine.failures import in_a_sentence
from app.engine.lines import Lines
from app.engine.reporting import CannotTrain, Run
from app.protocol import (
    Answered,
    Asked,
    Finished,
    HubModel,
    Outcome,
    PlaygroundInputs,
    PlaygroundQuestion,
    Side,
    Token,
    Trouble,
    Waiting,
)

UNFINISHED = "\ufffd"
"""What a tokenizer writes for a character whose last bytes are still to come."""

SIDES: tuple[Side, ...] = ("base", "tuned")


@dataclass
class Voice:
    """One model in the middle of its answer."""

    side: Side
    model: Any
    generator: torch.Generator
    given: torch.Tensor
    """Tokens it has not seen yet."""
    cache: Any = None
    said: list[int] = field(default_factory=list)
    told: str = ""
    seconds: float = 0.0
    has_ended: bool = False
    is_clipped: bool = False


class Playground:
    def __init__(self, inputs: PlaygroundInputs, lines: Lines) -> None:
        self._lines = lines
        self._run = Run(Path(inputs.run_dir))
        self._device = inputs.device
        torch.set_num_threads(inputs.threads)
        disable_progress_bar()
        lines.say(Waiting(sentence="Loading what the run started from."))
        folder = Path(inputs.base_dir) if inputs.base_dir else self._from_hub()
        model_files.refuse_foreign_code(folder)
        self._models = {"base": self._loaded(folder)}
        lines.say(Waiting(sentence="Loading the model it made."))
        self._models["tuned"] = self._loaded(self._run.dir.model_dir)
        self._tokenizer = AutoTokenizer.from_pretrained(
            self._run.dir.model_dir, local_files_only=True, trust_remote_code=False
        )
        self._base = model_files.in_words(self._run)

    def _from_hub(self) -> Path:
        assert isinstance(self._run.spec.model, HubModel)
        return model_files.downloaded(self._run.spec.model, model_files.commit_of(self._run))

    def _loaded(self, folder: Path) -> Any:
        half = self._device == "cuda" and torch.cuda.is_bf16_supported()
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16 if half else torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
        return model.to(self._device).eval()

    def answer(self, question: PlaygroundQuestion, stop: "queue.Queue[bytes]") -> None:
        """Both answers a token at a time in turn, until both have ended or anything is heard."""
        row = self._row(question.item)
        turns = rows.conversation(row.prompt) if row else _turns(question)
        self._lines.say(Asked(base=self._base, prompt=_in_words(turns)))
        tokens = self._tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
        self._refuse_long(tokens)
        voices = [self._voice(side, tokens, question.seed) for side in SIDES]
        while speaking := [voice for voice in voices if not voice.has_ended]:
            for voice in speaking:
                self._speak(voice, question, len(tokens))
                voice.is_clipped = voice.is_clipped or (not voice.has_ended and not stop.empty())
                voice.has_ended = voice.has_ended or voice.is_clipped
                self._tell(voice)
                if voice.has_ended:
                    self._sum_up(voice, row)
        self._lines.say(Finished())

    def _row(self, item: int | None) -> Any:
        if item is None:
            return None
        held_out = rows.read(self._run).held_out
        if item >= len(held_out):
            raise CannotTrain(
                f"There is no held-out row {item}: the run has {len(held_out)}, counted from 0."
            )
        return held_out[item]

    def _refuse_long(self, tokens: list[int]) -> None:
        longest = min(_context(model) for model in self._models.values())
        if len(tokens) >= longest:
            raise CannotTrain(
                f"The prompt has {len(tokens)} tokens, and these models see {longest} at most; shorten it."
            )

    def _voice(self, side: Side, tokens: list[int], seed: int) -> Voice:
        generator = torch.Generator(self._device).manual_seed(seed)
        given = torch.tensor([tokens], device=self._device)
        return Voice(side, self._models[side], generator, given)

    @torch.inference_mode()
    def _speak(self, voice: Voice, question: PlaygroundQuestion, asked: int) -> None:
        """One token more."""
        began = time.perf_counter()
        out = voice.model(input_ids=voice.given, past_key_values=voice.cache, use_cache=True)
        voice.cache = out.past_key_values
        token = _drawn(out.logits[0, -1].float(), question.temperature, voice.generator)
        voice.given = token.view(1, 1)
        voice.seconds += time.perf_counter() - began
        if int(token) in self._ends(voice.model):
            voice.has_ended = True
            return
        voice.said.append(int(token))
        is_full = asked + len(voice.said) >= _context(voice.model)
        voice.is_clipped = voice.has_ended = is_full or len(voice.said) >= question.max_tokens

    def _ends(self, model: Any) -> set[int]:
        own = model.generation_config.eos_token_id
        return {self._tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}

    def _text(self, voice: Voice) -> str:
        return str(self._tokenizer.decode(voice.said, skip_special_tokens=True))

    def _tell(self, voice: Voice) -> None:
        text = self._text(voice)
        if len(text) > len(voice.told) and (voice.has_ended or not text.endswith(UNFINISHED)):
            self._lines.say(Token(side=voice.side, text=text[len(voice.told) :]))
            voice.told = text

    def _sum_up(self, voice: Voice, row: Any) -> None:
        text = self._text(voice)
        self._lines.say(
            Answered(
                side=voice.side,
                text=text,
                tokens=len(voice.said) + (0 if voice.is_clipped else 1),
                seconds=round(voice.seconds, 3),
                is_clipped=voice.is_clipped,
                outcome=self._outcome(text, row) if row else None,
            )
        )

    def _outcome(self, text: str, row: Any) -> Outcome | None:
        grader = self._run.spec.grader
        if grader is None:
            return None
        (outcome,) = self._run.bench.grade(grader, rows.answers([row], [text]))
        return outcome


def _turns(question: PlaygroundQuestion) -> list[dict[str, str]]:
    system = [{"role": "system", "content": question.system}] if question.system.strip() else []
    return [*system, {"role": "user", "content": question.prompt}]


def _in_words(turns: list[dict[str, str]]) -> str:
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)


def _context(model: Any) -> int:
    """Tokens that the model was built to see at once; without a word of it no limit is known."""
    return int(getattr(model.config, "max_position_embeddings", None) or sys.maxsize)


def _drawn(logits: torch.Tensor, temperature: float, generator: torch.Generator) -> torch.Tensor:
    if temperature == 0:
        return logits.argmax()
    chances = torch.softmax(logits / temperature, dim=-1)
    return torch.multinomial(chances, 1, generator=generator)[0]


def _questions(heard: "queue.Queue[bytes]") -> Iterator[PlaygroundQuestion]:
    while True:
        if line := heard.get():
            yield PlaygroundQuestion.model_validate_json(line)


def main() -> None:
    lines = Lines()
    inputs = PlaygroundInputs.model_validate_json(lines.first())
    heard: queue.Queue[bytes] = queue.Queue()
    lines.hear(heard.put)
    try:
        playground = Playground(inputs, lines)
    except Exception as error:
        lines.say(Trouble(sentence=_sentence(error)))
        return
    for question in _questions(heard):
        try:
            playground.answer(question, heard)
        except Exception as error:
            lines.say(Trouble(sentence=_sentence(error)))


def _sentence(error: Exception) -> str:
    if isinstance(error, CannotTrain):
        return str(error)
    said = in_a_sentence(error)
    return said.replace("The training stopped unexpectedly", "The models stopped unexpectedly").replace(
        "lower micro_batch_size first, then the length limits, or start from a smaller model",
        "ask for fewer tokens, or try again when no run is training",
    )


if __name__ == "__main__":
    main()
