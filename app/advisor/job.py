"""One project's training in the numbers that the formulas take, and all that was assumed on the way."""

from typing import NamedTuple

from app.advisor.advice import TrainingMethod, Tuning
from app.advisor.answers import Hardware, ModelConfig, PriceRange, Workload
from app.advisor.memory import Rollouts, Setup, Sharding, setup_of
from app.advisor.tables import Gpu, Model, Price, Stack, Tables
from app.advisor.throughput import Machine
from app.errors import Problem

OFF = 0.05
"""Computed parameters this far from the stated size are worth a warning."""


class Job(NamedTuple):
    model: Model
    gpu: Gpu
    stack: Stack
    rollouts: Rollouts
    gpus: int = 1
    sharding: Sharding = "none"
    shardable: bool = False
    """Whether sharding may be chosen for the user."""
    price: Price | None = None
    """Of one GPU for an hour."""
    micro_batch: int = 4
    length: int = 1024
    """Padded tokens of a sequence of demonstrations."""
    row_tokens: float = 1024
    """Of one demonstration with its prompt."""
    packed: float = 1.0
    """Share of a sequence that is not padding."""
    accumulation: int = 1
    checkpointing: bool = True
    rank: int = 16
    demonstrations: int = 1000
    epochs: int = 2
    rollout_micro_batch: int = 8
    steps: int = 300
    lengths_known: bool = False

    @property
    def may_shard(self) -> bool:
        return self.shardable and self.gpus > 1

    @property
    def learners(self) -> int:
        """GPUs that train in a GRPO run."""
        return max(1, self.gpus - (self.rollouts.generators or 0))

    @property
    def paid(self) -> int:
        """GPUs of a GRPO run: one more than there are where a single one would have to do both."""
        return self.learners + (self.rollouts.generators or 0)

    def machine(self, tables: Tables) -> Machine:
        return Machine(self.gpu, self.stack, tables.constants.time)

    def sft_setup(self, tuning: Tuning) -> Setup:
        return setup_of(
            self.stack,
            tuning,
            micro_batch=self.micro_batch,
            length=self.length,
            accumulation=self.accumulation,
            checkpointing=self.checkpointing,
            rank=self.rank,
            gpus=self.gpus,
            sharding=self.sharding if self.gpus > 1 else "none",
        )

    def grpo_setup(self, tuning: Tuning, *, peak: bool = False) -> Setup:
        """At the longest answer for memory, at the mean for time."""
        rollouts = self.rollouts
        answer = rollouts.longest if peak else rollouts.typical
        return self.sft_setup(tuning)._replace(
            micro_batch=self.rollout_micro_batch,
            length=rollouts.prompt + answer,
            scored=self.rollout_micro_batch * answer,
            gpus=self.learners,
            sharding=self.sharding if self.learners > 1 else "none",
        )

    def setup(self, method: TrainingMethod, tuning: Tuning) -> Setup:
        """As it counts for memory."""
        return self.sft_setup(tuning) if method == "sft" else self.grpo_setup(tuning, peak=True)


def job_of(
    tables: Tables, hardware: Hardware | None, workload: Workload, demonstrations: int | None = None
) -> Job:
    """`demonstrations` is what another answer says of their number, where the workload does not."""
    assumed = tables.constants.assumed
    known = hardware or Hardware(parameters_b=assumed.model_b, gpus=1, gpu=assumed.gpu)
    gpu, gpus = gpu_of(tables, known), max(1, known.gpus)
    prompt = workload.prompt_tokens or assumed.prompt_tokens
    row = prompt + workload.tokens_per_demonstration if workload.tokens_per_demonstration else assumed.length
    mean, longest = answer_lengths(tables, workload)
    return Job(
        model=model_of(tables, known),
        gpu=gpu,
        stack=tables.constants.stacks[known.stack],
        rollouts=Rollouts(
            # A processor has no inference engine.
            engine="hf_generate" if known.gpus == 0 else known.rollout_engine,
            prompts=workload.prompts_per_step or assumed.prompts,
            group=workload.completions_per_prompt or assumed.group,
            prompt=prompt,
            mean=mean,
            longest=longest,
            utilization=assumed.utilization,
            generators=max(1, gpus // 4) if known.rollout_engine == "vllm_server" else None,
            measured_share=workload.rollout_share,
            grader_seconds=workload.grader_seconds or 0.0,
            grader_concurrency=workload.grader_concurrency or 1,
        ),
        gpus=gpus,
        sharding="none" if known.sharding == "auto" else known.sharding,
        shardable=known.sharding == "auto",
        price=price_of(known, gpu),
        micro_batch=assumed.micro_batch,
        length=max(assumed.length, row),
        row_tokens=row,
        packed=assumed.packed,
        rank=assumed.rank,
        demonstrations=workload.demonstrations or demonstrations or assumed.demonstrations,
        epochs=workload.epochs or assumed.epochs,
        rollout_micro_batch=assumed.rollout_micro_batch,
        steps=workload.steps or assumed.steps,
        lengths_known=bool(workload.tokens_per_rollout and workload.longest_rollout),
    )


def answer_lengths(tables: Tables, workload: Workload) -> tuple[int, int]:
    """Mean, and the limit: a multiple of the mean that is larger for answers long enough to be thinking."""
    assumed = tables.constants.assumed
    mean, longest = workload.tokens_per_rollout, workload.longest_rollout
    if mean is None:
        mean = min(assumed.answer_tokens, longest or assumed.answer_tokens)
    factor = assumed.longest if mean < 1000 else assumed.longest_thinking
    return mean, longest or round(factor * mean)


def model_of(tables: Tables, hardware: Hardware) -> Model:
    """Its own dimensions before its name, its name before a size."""
    if hardware.config is not None:
        return model_from_config("your own dimensions", hardware.config)
    named = tables.model(hardware.model) if hardware.model else None
    return named or tables.of_size(hardware.parameters_b or tables.constants.assumed.model_b)


def model_from_config(name: str, config: ModelConfig) -> Model:
    heads = config.num_attention_heads
    return Model(
        name=name,
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=heads,
        kv_heads=config.num_key_value_heads or heads,
        head_size=config.head_dim or max(1, config.hidden_size // heads),
        feed_forward=config.intermediate_size,
        vocabulary=config.vocab_size,
        tied=config.tie_word_embeddings,
    )


def gpu_of(tables: Tables, hardware: Hardware) -> Gpu:
    if hardware.gpus == 0:
        return tables.cpu
    named = tables.gpu(hardware.gpu) if hardware.gpu else None
    return named or tables.gpu_of_memory(hardware.gpu_memory_gb)


def price_of(hardware: Hardware, gpu: Gpu) -> Price | None:
    """The user's own comes before the table's."""
    own = hardware.gpu_price
    if isinstance(own, PriceRange):
        return Price(low=own.low, typical=own.typical, high=own.high)
    return gpu.price if own is None else Price(low=own, typical=own, high=own)


def unknown_names(tables: Tables, hardware: Hardware, where: str) -> list[Problem]:
    """Names that are in no table, each with those that are."""
    problems = []
    if hardware.model and tables.model(hardware.model) is None:
        known = ", ".join(model.name for model in tables.models)
        what = f"No model is called {hardware.model[:80]!r}; the table has {known}. "
        what += "For another, leave model out and give parameters_b or config."
        problems.append(Problem(where=f"{where}.model", what=what))
    if hardware.gpu and tables.gpu(hardware.gpu) is None:
        known = ", ".join(gpu.name for gpu in tables.gpus)
        what = f"No GPU is called {hardware.gpu[:80]!r}; the table has {known}. "
        what += "For another, leave gpu out and give gpu_memory_gb."
        problems.append(Problem(where=f"{where}.gpu", what=what))
    if hardware.stack not in tables.constants.stacks:
        known = ", ".join(tables.constants.stacks)
        what = f"No training stack is called {hardware.stack[:80]!r}; the table has {known}."
        problems.append(Problem(where=f"{where}.stack", what=what))
    return problems


# What was assumed, in words


def assumptions(tables: Tables, job: Job, hardware: Hardware | None, workload: Workload) -> tuple[str, ...]:
    start = f"loading and first evaluation take {tables.constants.time.start_seconds / 60:g} minutes"
    said = [*_of_machine(tables, job, hardware), *_of_workload(job, workload), start]
    return tuple(f"Assumed: {what}." for what in said)


def _of_machine(tables: Tables, job: Job, hardware: Hardware | None) -> list[str]:
    said = []
    if hardware is None:
        assumed = tables.constants.assumed
        said.append(f"a model of {assumed.model_b:g} billion parameters on one {assumed.gpu}")
        return said
    if hardware.config is None and not hardware.model:
        said.append(f"a model of {job.model.name}")
    if hardware.gpus == 0:
        said.append("the speed of a common processor, which nobody measured")
    elif not hardware.gpu:
        said.append(
            f"each GPU of {hardware.gpu_memory_gb:g} GB is as fast as {_article(job.gpu.name)}, "
            "the slowest of that size in the table"
        )
    if hardware.stack == "trl":
        said.append(f"{job.stack.title}, adapters of rank {job.rank}")
    if hardware.gpus:
        said.append(_ENGINES[job.rollouts.engine])
    return said


_ENGINES = {
    "vllm_colocate": "answers are sampled with vLLM on the GPUs that train",
    "vllm_server": "a vLLM server on a quarter of the GPUs, at least one, waits while the others train",
    "hf_generate": "answers are sampled with Hugging Face’s generate, padded to the longest",
}


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AHLMR' else 'a'} {name}"


def _of_workload(job: Job, workload: Workload) -> list[str]:
    rollouts, row = job.rollouts, job.row_tokens
    stated = (
        (workload.tokens_per_demonstration, f"a demonstration and its prompt have {row:,.0f} tokens"),
        (workload.prompt_tokens, f"a prompt has {rollouts.prompt:,} tokens"),
        (workload.tokens_per_rollout, f"an answer has about {rollouts.mean:,} tokens, without long thinking"),
        (workload.longest_rollout, f"answers are cut off at {rollouts.longest:,} tokens"),
        (workload.completions_per_prompt, f"GRPO tries each prompt {rollouts.group} times"),
        (workload.prompts_per_step, f"GRPO takes {rollouts.prompts} prompts a step"),
        (workload.steps, f"GRPO takes {job.steps:,} steps, after which it usually shows"),
        (workload.demonstrations, f"SFT has about {job.demonstrations:,} demonstrations"),
        (workload.epochs, f"SFT goes over them {_counted(job.epochs)}"),
    )
    said = [what for value, what in stated if value is None]
    if workload.grader_seconds is None:
        said.append("grading takes no time that counts")
    elif workload.grader_seconds and workload.grader_concurrency is None:
        said.append("answers are graded one after another")
    return said


def _counted(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def warnings(tables: Tables, job: Job, hardware: Hardware | None) -> tuple[str, ...]:
    if hardware is None:
        return ()
    found = []
    computed = job.model.parameters / 1e9
    stated = hardware.parameters_b
    if stated and (hardware.config or hardware.model) and abs(computed / stated - 1) > OFF:
        found.append(
            f"The dimensions come to {computed:.3g} billion parameters, not the {stated:g} billion stated; "
            "the dimensions are used."
        )
    if hardware.gpus and not job.gpu.exact:
        found.append(f"The speed of the {job.gpu.name} is commonly stated and was not checked.")
    if hardware.rollout_engine == "vllm_server" and hardware.gpus == 1:
        found.append("A vLLM server needs a GPU of its own, so one more than yours is counted.")
    if hardware.gpus and job.price is None:
        found.append(f"No price of the {job.gpu.name} is known; give your own to see money.")
    return tuple(found)
