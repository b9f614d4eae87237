"""How far the estimates of memory and time are from published measurements, beside a naive rule.

    .venv/bin/python benchmarks/estimates.py [--measurements FILE] [--rows]

Each row of the file is read as a job: model, GPU, tokens per micro-batch, loss path, optimizer, what metric
of memory was printed. A row that leaves one of these open is not used for that figure, and the reasons are
counted. Memory and time are compared as estimated / measured - 1; the median and 90th percentile are of its
size. GRPO steps are compared as a factor, the larger over the smaller. Rows known only to have fitted, or
not, are compared as verdicts.

The naive rule: 16 bytes a parameter in full fine-tuning, 2 with LoRA, 0.5 with QLoRA; 6 N D operations (4
with LoRA) at 40 % of the peak, 2 N D more to generate.

Beside it, on the rows of memory, four published formulas, each with the stack and the metric it is meant for:
accelerate estimate-memory, the rule of LLaMA-Factory's README, Unsloth Studio's and that of the Hugging Face
post on training memory. Rows of their own stack would suit them better; few are published. EleutherAI's
cookbook is left out: it is written for tensor and pipeline parallel training, and depends on more than these
rows say.

Held out: the sources are dealt alternately into two halves; one scale for memory and one for speed are fitted
on one half and judged on the other, both ways. Then each source is left out in turn and judged with what is
fitted without it: a scale for each method (full, lora, qlora) where the others have three rows of it, of all
rows otherwise. The shipped constants use no such scale, but most were chosen with these rows in sight: what
was re-fitted is the scale, not they. Prints tables and, last, one line of JSON.
"""

import argparse
import json
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from app.advisor.memory import (
    GIB,
    Metric,
    Rollouts,
    Setup,
    Verdict,
    grpo_parts,
    setup_of,
    training_parts,
    verdict,
)
from app.advisor.tables import Gpu, Model, Stack, Tables
from app.advisor.throughput import Machine, busy_seconds, grpo_step, tokens_per_second, training_token_seconds
from app.main import read_rulebook

HERE = Path(__file__).parent
Row = dict[str, Any]

NAIVE_BYTES = {"full": 16.0, "lora": 2.0, "qlora": 0.5}
NAIVE_PEAK = 0.4
PADDING_EFFICIENCY = 0.55
"""Useful share of the tokens of an unpacked batch, where only the useful ones were counted."""


class Unusable(Exception):
    """Why a row says nothing about a figure."""


@dataclass(frozen=True)
class Compared:
    row: Row
    estimated: float
    measured: float
    naive: float
    rivals: dict[str, float]
    """What other formulas say of the same row, where they say anything."""

    @property
    def kind(self) -> str:
        return str(self.row["method"])

    @property
    def source(self) -> str:
        return str(self.row["source"])


# Reading rows


def said(row: Row) -> str:
    """Everything a row says in words."""
    fields = ("source", "notes", "parallelism", "precision", "optimizer", "gen_engine", "logits_path")
    return " ".join(str(row.get(field) or "") for field in fields).lower()


STACKS = (
    ("torchtune", "packed_compiled"),
    ("litgpt", "litgpt"),
    ("lit-gpt", "litgpt"),
    ("ms-swift", "hf_2023"),
    ("unsloth", "unsloth"),
    ("verl", "rl_fsdp"),
    ("fp32 params", "fsdp_fp32"),
    ("zero-3", "hf_zero3"),
    ("zero3", "hf_zero3"),
    ("zero-2", "hf_zero2"),
    ("qwenlm/qwen", "hf_zero2"),
    ("trl", "trl"),
)
"""What a row names, and the stack that means; the first match holds."""

LOSSES = (
    ("fused", "fused_head"),
    ("liger", "liger"),
    ("chunk", "chunked"),
    ("compiled", "compiled"),
    ("~12", "bf16_shift"),
    ("shift", "bf16_shift"),
    ("~24", "fp32_copy"),
    ("output upcast", "fp32_copy"),
    ("fp32", "full_fp32"),
    ("bf16", "compiled"),
)


def stack_name(row: Row) -> str:
    words = said(row)
    name = next((stack for word, stack in STACKS if word in words), "hf_trainer")
    if "prime-rl" in words:
        return "rl_fsdp" if row["algo"] == "grpo" else "fsdp_fp32"
    if name == "packed_compiled" and not is_compiled(row):
        return "packed_eager"
    if name == "hf_zero2" and tuning_of(row) == "full" and row.get("n_gpus", 1) > 1:
        return "hf_zero3"
    return name


def is_compiled(row: Row) -> bool:
    """A series of torchtune's adds one option at a time; from compilation on every row has it."""
    words = said(row)
    before = "baseline" in words or "step +packed" in words
    return "compile" in words or ("cumulative step" in words and not before)


def tuning_of(row: Row) -> Any:
    return str(row["method"]).removeprefix("grpo-")


def model_of(row: Row, tables: Tables) -> Model:
    name = re.sub(r"^DeepSeek-", "", re.sub(r"[ (].*", "", str(row["model"]))).removesuffix("-Instruct")
    if re.search(r"-A\d+B|MoE|VL", str(row["model"])):
        raise Unusable("mixture of experts or vision: not estimated")
    if model := tables.model(name):
        return model
    if row.get("params_b"):
        return tables.of_size(float(row["params_b"]))
    raise Unusable("model not named")


def gpu_of(row: Row, tables: Tables) -> Gpu:
    name = re.sub(r"-\d+ ?GB$", "", str(row.get("gpu")).split("/")[0])
    if name == "A100" and "40GB" in str(row.get("gpu")):
        name = "A100-40"
    if gpu := tables.gpu(name):
        return gpu
    raise Unusable("GPU not named")


def tokens_of(row: Row) -> int:
    if tokens := row.get("tokens_per_microbatch"):
        return int(tokens)
    if row.get("seq_len") and row.get("micro_batch") and "pack" in said(row) and "unpacked" not in said(row):
        return int(row["seq_len"] * row["micro_batch"])
    raise Unusable("tokens per micro-batch not given")


def setup_for(row: Row, tables: Tables, stack: Stack, tokens: int) -> Setup:
    micro_batch = int(row.get("micro_batch") or 1)
    if tokens % micro_batch:
        micro_batch = 1
    words, chosen = said(row), {}
    if row.get("logits_path"):
        path = str(row["logits_path"]).lower()
        chosen["loss"] = next(loss for word, loss in (*LOSSES, ("", "full_fp32")) if word in path)
        if chosen["loss"] == "full_fp32" and stack.loss == "fp32_master":
            chosen["loss"] = "fp32_master"
        if chosen["loss"] == "chunked" and stack.loss == "chunked_output":
            chosen["loss"] = "chunked_output"
    if "bnb" in words and stack.loss == "fp32_copy":
        # Preparing a model for 4-bit training widened what stays unquantised to float32 then.
        chosen["embeddings"] = 4.0
    if row.get("lora_rank"):
        chosen["rank"] = int(row["lora_rank"])
    return setup_of(
        stack,
        tuning_of(row),
        **{
            "micro_batch": micro_batch,
            "length": tokens // micro_batch,
            "accumulation": int(row.get("grad_accum") or 1),
            "checkpointing": row.get("checkpointing", True) not in (False, "off"),
            "flash": row.get("flash_attn") is not False,
            "compiled": is_compiled(row),
            "gpus": int(row.get("n_gpus") or 1),
            "sharding": sharding_of(row),
            "quantised": "int4" if "gptq" in words or "int4" in words else "nf4_double",
            **optimizer_of(row, stack),
            **chosen,
        },
    )


def sharding_of(row: Row) -> str:
    words = said(row)
    if int(row.get("n_gpus") or 1) == 1:
        return "none"
    if "zero-2" in words or "zero2" in words or "ddp" in words:
        return "zero2"
    return "zero3"


STEPS = ("+packed", "+compile", "+chunked ce", "+ac.", "+optimizer in bwd", "+act offload", "+8-bit adamw")


def optimizer_of(row: Row, stack: Stack) -> Row:
    """Fused, paged and 8-bit optimizers, and activations kept on the host."""
    words = said(row)
    reached = next((place for place, step in enumerate(STEPS) if f"step {step}" in words), -1)
    chosen: Row = {
        "fused_optimizer": reached >= 4 or "optimizer_in_bwd" in words,
        "offloaded_activations": reached >= 5 or "activation offloading" in words or "unsloth" in words,
    }
    if reached >= 6 or "8-bit adam" in words or "adamw8bit" in words or "8bit" in words:
        chosen["optimizer"] = 2.0
    if "paged" in words:
        chosen["optimizer"] = 0.0
    if "cpu offload" in words or "param+optimizer offload" in words:
        chosen["offloaded"] = True
    return chosen


METRICS: dict[str, Metric] = {
    "active": "allocated",
    "allocated": "allocated",
    "used": "card",
    "nvidia-smi": "card",
}


def metric_of(row: Row) -> Metric:
    metric = str(row.get("mem_metric"))
    if "vendor" in metric:
        raise Unusable("a vendor's calculation, not a measurement")
    if "ms-swift" in said(row):
        return "card"
    if "torchtune" in said(row) and "not stated" in metric:
        return "allocated"
    return next((meant for word, meant in METRICS.items() if word in metric), "reserved")


# Comparing


def memory(row: Row, tables: Tables) -> Compared:
    if "memory" not in row.get("use_for", ()) or not row.get("peak_mem_gib"):
        raise Unusable("not a memory measurement")
    if row.get("quality") not in ("A", "B"):
        raise Unusable("quality C or D")
    if "context parallel" in said(row):
        raise Unusable("context parallel: not estimated")
    metric, model = metric_of(row), model_of(row, tables)
    setup = setup_for(row, tables, tables.constants.stacks[stack_name(row)], memory_tokens(row))
    peak = training_parts(tables.constants, model, setup).peak(tables.constants.memory, metric)
    summed = setup.gpus if row.get("mem_scope") == "total" else 1
    naive, measured = naive_memory(row, model, setup), row["peak_mem_gib"] / summed
    return Compared(row, peak / GIB, measured, naive, rival_memories(model, setup))


def memory_tokens(row: Row) -> int:
    if packed := re.search(r"packing (\d+)/row", said(row)):
        return int(packed.group(1))
    if row["algo"] == "grpo" and row.get("completion_len") and row.get("micro_batch"):
        return int(row["micro_batch"]) * (int(row.get("prompt_len") or 256) + int(row["completion_len"]))
    return tokens_of(row)


def naive_memory(row: Row, model: Model, setup: Setup) -> float:
    return NAIVE_BYTES[tuning_of(row)] * model.parameters / setup.shards / GIB


# Other formulas for memory


def accelerate(model: Model, setup: Setup) -> float:
    """The largest of weights 4N, gradients 6N and optimizer 8N in bf16, 16N in float32, at batch 1."""
    return (8 if setup.weights <= 2 else 16) * model.parameters


def llama_factory(model: Model, setup: Setup) -> float:
    """Decimal GB for each billion parameters: 18 in full, 8 in pure bf16, 2 for LoRA, 0.5 for 4 bits."""
    full = 8 if setup.weights <= 2 else 18
    return {"full": full, "lora": 2, "qlora": 0.5}[setup.tuning] * model.parameters


def unsloth_studio(model: Model, setup: Setup) -> float:
    """Weights, optimizer 6, gradient 2, 1.25 x 2 (T(h + 2k) + 2T + 2Tf) x layers alive, and 1.4 GB.

    Layers alive: 1 with LoRA and 2 in full with checkpointing, all without. Gradients are at least 15 % of
    the weights. What it makes of several GPUs is not compared.
    """
    tokens, width = setup.tokens, model.hidden + 2 * model.key_value
    alive = model.layers if not setup.checkpointing else 2 if setup.tuning == "full" else 1
    activations = 2.5 * (tokens * width + 2 * tokens + 2 * tokens * model.feed_forward) * alive
    weights = 0.5 * model.body + 2 * model.embeddings if setup.tuning == "qlora" else 2 * model.parameters
    trained = model.parameters if setup.tuning == "full" else model.lora_parameters(setup.rank)
    states = weights + 6 * trained + max(2 * trained, 0.15 * weights)
    return float(states + activations + 1.4e9)


def hugging_face_post(model: Model, setup: Setup) -> float:
    """Activations of 4.69e-4 N + 1.85e6 bytes a token, beside weights, gradients and AdamW."""
    per_token = 4.69e-4 * model.parameters + 1.85e6
    states = setup.weights + setup.gradients + setup.optimizer
    return states * model.parameters + per_token * setup.tokens


Rival = Callable[[Model, Setup], float]


def on_one_gpu(setup: Setup) -> bool:
    return setup.gpus == 1


def plainly_full(setup: Setup) -> bool:
    return setup.tuning == "full" and setup.gpus == 1


RIVALS: dict[str, tuple[Rival, Callable[[Setup], bool], str]] = {
    "accelerate": (accelerate, plainly_full, "full fine-tuning at batch 1, torch allocated; no activations"),
    "LLaMA-Factory": (
        llama_factory,
        on_one_gpu,
        "a rule of thumb for its own trainer, card; short sequences",
    ),
    "Unsloth Studio": (unsloth_studio, on_one_gpu, "Unsloth's kernels, card"),
    "HF post": (hugging_face_post, plainly_full, "TRL in full, no checkpointing, no flash attention, card"),
}
"""By name: the formula, the rows it speaks of, and the stack and metric it is meant for."""


def rival_memories(model: Model, setup: Setup) -> dict[str, float]:
    """In GiB; a formula is not asked about what it does not model."""
    return {
        name: formula(model, setup) / GIB for name, (formula, covers, _) in RIVALS.items() if covers(setup)
    }


def sft_time(row: Row, tables: Tables) -> Compared:
    """Tokens a second, as the source counts them."""
    if row["algo"] != "sft" or "time" not in row.get("use_for", ()) or not row.get("tokens_per_s"):
        raise Unusable("not a measurement of SFT time")
    if "context parallel" in said(row) or "offload, fused" in said(row):
        raise Unusable("context parallel or offloaded to the host: not estimated")
    model, stack = model_of(row, tables), tables.constants.stacks[stack_name(row)]
    machine = Machine(gpu_of(row, tables), stack, tables.constants.time)
    real = re.search(r"~(\d+)/step", said(row))
    tokens = round(float(real.group(1)) / PADDING_EFFICIENCY) if real else tokens_of(row)
    setup = setup_for(row, tables, stack, tokens)
    useful = PADDING_EFFICIENCY if real else 1.0
    estimated = tokens_per_second(machine, model, setup) * useful
    operations = (6 if setup.tuning == "full" else 4) * model.parameters
    naive = NAIVE_PEAK * machine.gpu.flops * setup.gpus / operations * useful
    return Compared(row, estimated, float(row["tokens_per_s"]), naive, {})


def grpo_time(row: Row, tables: Tables) -> Compared:
    """Seconds a step."""
    if row["algo"] != "grpo" or "time" not in row.get("use_for", ()) or not row.get("sec_per_step"):
        raise Unusable("not a measurement of a GRPO step")
    model, stack = model_of(row, tables), tables.constants.stacks[stack_name(row)]
    machine = Machine(gpu_of(row, tables), stack, tables.constants.time)
    if row.get("tokens_per_microbatch"):
        return trainer_only(row, tables, machine, model)
    trainers, generators = sides(row)
    rollouts = rollouts_of(row, generators)
    setup = setup_for({**row, "n_gpus": trainers}, tables, stack, 1024)._replace(
        micro_batch=sequences_at_once(row, rollouts), length=rollouts.prompt + rollouts.typical
    )
    tokens = rollouts.sequences * setup.length
    naive = 8 * model.parameters * tokens / (NAIVE_PEAK * machine.gpu.flops * (trainers + generators))
    seconds = grpo_step(machine, model, setup, rollouts).seconds
    return Compared(row, seconds, float(row["sec_per_step"]), naive, {})


def trainer_only(row: Row, tables: Tables, machine: Machine, model: Model) -> Compared:
    """A trainer fed with ready answers: one micro-batch, at the efficiency of GRPO trainers."""
    setup = setup_for(row, tables, machine.stack, int(row["tokens_per_microbatch"]))
    per_token = training_token_seconds(machine, model, setup, setup.length)
    compute = per_token / tables.constants.time.rl_efficiency * setup.tokens
    seconds = busy_seconds(machine, model, setup, compute)
    operations = (6 if setup.tuning == "full" else 4) * model.parameters
    naive = operations * setup.tokens / (NAIVE_PEAK * machine.gpu.flops)
    return Compared(row, seconds, float(row["sec_per_step"]), naive, {})


def sides(row: Row) -> tuple[int, int]:
    """GPUs that train and GPUs that only generate."""
    words = said(row)
    for pattern in (r"(\d+) trainer.*?\+ (\d+) vllm", r"async (\d+):(\d+)"):
        if found := re.search(pattern, words):
            if "colocate" in words:
                break
            return int(found.group(1)), int(found.group(2))
    return int(row.get("n_gpus") or 1), 0


def rollouts_of(row: Row, generators: int) -> Rollouts:
    words, group = said(row), int(row.get("group_size") or 8)
    longest = int(row.get("completion_len") or 0)
    if not longest:
        raise Unusable("completion length not given")
    prompts = prompts_of(words, group, row)
    prompt = min(int(row.get("prompt_len") or 256), 256)
    mean = mean_length(words, longest, prompt)
    return Rollouts(
        engine="hf_generate" if "hf generate" in words else "vllm_colocate",
        prompts=prompts,
        group=group,
        prompt=prompt,
        mean=mean,
        longest=longest,
        generators=generators or None,
        asynchronous=bool(generators),
        # Asynchronous loops take the log-probabilities that come with the answers.
        passes=0 if generators else 1,
        sync_every=4 if generators else 1,
    )


def prompts_of(words: str, group: int, row: Row) -> int:
    if found := re.search(r"(\d+) prompts", words):
        return int(found.group(1))
    for pattern in (r"(\d+) samples/step", r"(\d+) (?:completions|rollouts)/step"):
        if found := re.search(pattern, words):
            return max(1, round(int(found.group(1)) / group))
    raise Unusable("prompts per step not given")


def mean_length(words: str, longest: int, prompt: int) -> int:
    if found := re.search(r"mean (?:sequence )?~?([\d.]+)k", words):
        return round(float(found.group(1)) * 1000) - prompt
    if found := re.search(r"mean (?:completion|response)[^\d]*(\d+)", words):
        return int(found.group(1))
    # The defaults for answers nobody measured: 300 of 512 without reasoning, 1,500 of 4,000 with.
    return round(longest * 300 / 512) if longest <= 1024 else min(1500, round(0.375 * longest))


def sequences_at_once(row: Row, rollouts: Rollouts) -> int:
    if "1 sequence per micro-batch" in said(row):
        return 1
    return max(1, 16384 // (rollouts.prompt + rollouts.typical))


# Fits or does not


@dataclass(frozen=True)
class Fitted:
    row: Row
    verdict: Verdict
    fitted: bool

    @property
    def right(self) -> bool:
        """What ran was not called impossible; what did not run was not promised. Tight is neither."""
        return self.verdict != "no" if self.fitted else self.verdict != "fits"


def ran(row: Row, tables: Tables) -> list[Fitted]:
    """A run whose peak was published fitted the GPU it ran on."""
    compared, gpu = memory(row, tables), gpu_of(row, tables)
    return [Fitted(row, verdict(compared.estimated * GIB, gpu), True)]


def edges(row: Row, tables: Tables) -> list[Fitted]:
    """The largest GRPO batch that ran, and where the source says so one more prompt, which did not.

    How many sequences a micro-batch held is not said: as many as prompts is assumed, one where no batch
    is named. Weights and optimizer wait on the host during the update, and the cache is dropped.
    """
    if "fit" not in row.get("use_for", ()):
        raise Unusable("not a fit row")
    largest = int((row.get("max_batch_boundary") or {}).get("prompts_per_gpu_fits") or 1)
    found = [Fitted(row, edge_verdict(row, tables, largest), True)]
    if re.search(rf"{largest + 1} fails", said(row)):
        found.append(Fitted(row, edge_verdict(row, tables, largest + 1), False))
    return found


def edge_verdict(row: Row, tables: Tables, sequences: int) -> Verdict:
    model, gpu = model_of(row, tables), gpu_of(row, tables)
    utilization = re.search(r"util ([\d.]+)", str(row.get("gen_engine")))
    rollouts = Rollouts(
        group=int(row.get("group_size") or 8),
        prompt=int(row.get("prompt_len") or 512),
        longest=int(row.get("completion_len") or 1024),
        utilization=float(utilization.group(1)) if utilization else 0.4,
        tensor_parallel=int(row.get("n_gpus") or 1),
        sleep=True,
    )
    stack = tables.constants.stacks["rl_fsdp"]
    setup = setup_for(row, tables, stack, rollouts.prompt + rollouts.longest)._replace(
        offloaded=True, micro_batch=sequences
    )
    parts = grpo_parts(tables.constants, model, setup, rollouts, gpu.usable_gib * GIB)
    return verdict(parts.peak(tables.constants.memory), gpu)


# Figures


def gather(
    rows: list[Row], tables: Tables, compare: Callable[[Row, Tables], Any]
) -> tuple[list[Any], Counter[str]]:
    used, left = [], Counter[str]()
    for row in rows:
        try:
            used.append(compare(row, tables))
        except Unusable as reason:
            left[str(reason)] += 1
    return used, left


def off(estimated: float, measured: float) -> float:
    return abs(estimated / measured - 1)


def factor(estimated: float, measured: float) -> float:
    return max(estimated / measured, measured / estimated)


def quantile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def by_kind(used: list[Compared]) -> dict[str, list[Compared]]:
    kinds: dict[str, list[Compared]] = defaultdict(list)
    for one in used:
        kinds["all"].append(one)
        kinds[one.kind].append(one)
    return {kind: kinds[kind] for kind in sorted(kinds, key=lambda kind: (kind != "all", kind))}


def table(title: str, used: list[Compared]) -> None:
    print(f"\n{title}")
    print(f"  {'method':<12}{'rows':>5}{'sources':>9}{'median':>9}{'p90':>8}{'within 20 %':>13}{'bias':>8}"
          f"{'naive median':>15}{'naive p90':>11}")  # fmt: skip
    for kind, ones in by_kind(used).items():
        ours = [off(one.estimated, one.measured) for one in ones]
        naive = [off(one.naive, one.measured) for one in ones]
        bias = statistics.median(one.estimated / one.measured - 1 for one in ones)
        print(
            f"  {kind:<12}{len(ones):>5}{len({one.source for one in ones}):>9}{quantile(ours, 0.5):>9.1%}"
            f"{quantile(ours, 0.9):>8.1%}{within(ones):>13.0%}{bias:>+8.1%}"
            f"{quantile(naive, 0.5):>15.1%}{quantile(naive, 0.9):>11.1%}"
        )


def within(ones: list[Compared], share: float = 0.2) -> float:
    return statistics.fmean(off(one.estimated, one.measured) <= share for one in ones)


def factors(used: list[Compared]) -> None:
    print("\nGRPO step, factor between estimate and measurement")
    print(
        f"  {'method':<12}{'rows':>5}{'sources':>9}{'median':>9}{'p90':>8}"
        f"{'naive median':>15}{'naive p90':>11}"
    )
    for kind, ones in by_kind(used).items():
        ours = [factor(one.estimated, one.measured) for one in ones]
        naive = [factor(one.naive, one.measured) for one in ones]
        print(
            f"  {kind:<12}{len(ones):>5}{len({one.source for one in ones}):>9}{quantile(ours, 0.5):>9.2f}"
            f"{quantile(ours, 0.9):>8.2f}{quantile(naive, 0.5):>15.2f}{quantile(naive, 0.9):>11.2f}"
        )


def held_out(title: str, used: list[Compared]) -> dict[str, float]:
    """One scale fitted on half of the sources, judged on the other half; both ways."""
    sources = sorted({one.source for one in used})
    halves = [[one for one in used if one.source in sources[start::2]] for start in (0, 1)]
    judged: list[float] = []
    for fitted, rest in (halves, halves[::-1]):
        if not fitted:
            continue
        scale = statistics.median(one.measured / one.estimated for one in fitted)
        errors = [off(scale * one.estimated, one.measured) for one in rest]
        judged += errors
        if errors:
            print(f"  {title}: scale {scale:.2f} from {len(fitted)} rows, on the other {len(rest)} rows "
                  f"median {quantile(errors, 0.5):.1%}, p90 {quantile(errors, 0.9):.1%}")  # fmt: skip
    if not judged:
        return {}
    return {"median_error": round(quantile(judged, 0.5), 4), "p90_error": round(quantile(judged, 0.9), 4)}


def rivals(used: list[Compared]) -> dict[str, dict[str, float]]:
    """Every formula on the rows it speaks of, and ours on the same rows."""
    print("\nPeak memory by other formulas, and by ours on the same rows")
    print(f"  {'formula':<16}{'rows':>5}{'mean':>8}{'median':>8}{'bias':>7}{'within 20 %':>12}   "
          f"{'ours: mean':>10}{'median':>8}{'bias':>7}{'within 20 %':>12}  meant for")  # fmt: skip
    found = {}
    for name, (_, _, meant) in RIVALS.items():
        ones = [one for one in used if name in one.rivals]
        if not ones:
            continue
        theirs = errors_of((one.rivals[name], one.measured) for one in ones)
        ours = errors_of((one.estimated, one.measured) for one in ones)
        print(f"  {name:<16}{len(ones):>5}{in_words(theirs)}   {in_words(ours, 10)}  {meant}")
        found[name] = {
            "rows": len(ones),
            "median_error": round(theirs.median, 4),
            "ours": round(ours.median, 4),
        }
    return found


class Errors(NamedTuple):
    mean: float
    median: float
    bias: float
    within: float


def errors_of(pairs: Iterable[tuple[float, float]]) -> Errors:
    """Bias is the mean of estimated / measured - 1."""
    signed = [estimated / measured - 1 for estimated, measured in pairs]
    sizes = [abs(each) for each in signed]
    return Errors(
        statistics.fmean(sizes),
        statistics.median(sizes),
        statistics.fmean(signed),
        statistics.fmean(each <= 0.2 for each in sizes),
    )


def in_words(errors: Errors, width: int = 8) -> str:
    return f"{errors.mean:>{width}.0%}{errors.median:>8.0%}{errors.bias:>+7.0%}{errors.within:>12.0%}"


ENOUGH = 3
"""Rows of a method that a scale of its own is fitted on."""


def scale_for(one: Compared, others: list[Compared]) -> float:
    same = [other for other in others if other.kind == one.kind]
    fitted = same if len(same) >= ENOUGH else others
    return statistics.median(other.measured / other.estimated for other in fitted)


def without_its_source(title: str, used: list[Compared]) -> dict[str, float]:
    """Each source judged with the scales fitted on all the others; every row counts once."""
    print(f"  {title}")
    judged: list[tuple[float, float]] = []
    for source in sorted({one.source for one in used}):
        others = [one for one in used if one.source != source]
        if not others:
            print("    one source only: nothing to fit on")
            return {}
        pairs = [
            (scale_for(one, others) * one.estimated, one.measured) for one in used if one.source == source
        ]
        scaled, factors_of = errors_of(pairs), [factor(*pair) for pair in pairs]
        print(f"    {source[:58]:<60}{len(pairs):>3} rows, median {scaled.median:.1%}, "
              f"within 20 % {scaled.within:.0%}, factor {statistics.median(factors_of):.2f}")  # fmt: skip
        judged += pairs
    whole = errors_of(judged)
    middle = statistics.median(factor(*pair) for pair in judged)
    print(f"    all: median {whole.median:.1%}, within 20 % {whole.within:.0%}, factor {middle:.2f}")
    return {
        "median_error": round(whole.median, 4),
        "within_20": round(whole.within, 4),
        "median_factor": round(middle, 3),
    }


def figures(used: list[Compared]) -> dict[str, float]:
    if not used:
        return {"rows": 0}
    errors = [off(one.estimated, one.measured) for one in used]
    naive = [off(one.naive, one.measured) for one in used]
    return {
        "rows": len(used),
        "median_error": round(quantile(errors, 0.5), 4),
        "p90_error": round(quantile(errors, 0.9), 4),
        "within_20": round(within(used), 4),
        "naive_median_error": round(quantile(naive, 0.5), 4),
    }


def step_figures(used: list[Compared]) -> dict[str, float]:
    if not used:
        return {"rows": 0}
    ours = [factor(one.estimated, one.measured) for one in used]
    naive = [factor(one.naive, one.measured) for one in used]
    return {
        "rows": len(used),
        "median_factor": round(quantile(ours, 0.5), 3),
        "p90_factor": round(quantile(ours, 0.9), 3),
        "naive_median_factor": round(quantile(naive, 0.5), 3),
    }


def each(title: str, used: list[Compared]) -> None:
    print(f"\n{title}")
    for one in used:
        row = one.row
        print(f"  {row['id']:<6}{row['model'][:24]:<26}{row['method']:<12}{one.estimated:>11.2f}"
              f"{one.measured:>11.2f}{one.estimated / one.measured - 1:>+8.0%}"
              f"  {stack_name(row)}")  # fmt: skip


def verdict_table(runs: list[list[Fitted]], limits: list[list[Fitted]]) -> list[Fitted]:
    published, batches = ([one for found in many for one in found] for many in (runs, limits))
    for title, ones in (
        ("runs whose peak was published, not called impossible", published),
        ("GRPO batches that ran, not called impossible", [one for one in batches if one.fitted]),
        ("GRPO batches that did not run, not promised to fit", [one for one in batches if not one.fitted]),
    ):
        print(f"  {title}: {sum(one.right for one in ones)} of {len(ones)}")
    return published + batches


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--measurements", type=Path, default=HERE / "measurements.json")
    arguments.add_argument("--rows", action="store_true", help="print every compared row")
    chosen = arguments.parse_args()
    rows, tables = json.loads(chosen.measurements.read_text(encoding="utf-8"))["rows"], read_rulebook().tables
    memories, no_memory = gather(rows, tables, memory)
    times, no_time = gather(rows, tables, sft_time)
    steps, no_step = gather(rows, tables, grpo_time)
    runs, _ = gather(rows, tables, ran)
    limits, _ = gather(rows, tables, edges)
    if chosen.rows:
        each("Memory, GiB", memories)
        each("SFT, tokens a second", times)
        each("GRPO, seconds a step", steps)
    print(f"{len(rows)} rows, constants {tables.constants.version}")
    table("Peak memory", memories)
    table("SFT throughput", times)
    factors(steps)
    print("\nFits or does not")
    verdicts = verdict_table(runs, limits)
    print("\nHeld out by source")
    apart = {"memory": held_out("memory", memories), "sft_time": held_out("SFT throughput", times)}
    print("\nEach source left out in turn, scales of each method fitted on the others")
    alone = {
        name: without_its_source(title, used)
        for name, title, used in (
            ("memory", "memory", memories),
            ("sft_time", "SFT throughput", times),
            ("grpo_step", "GRPO step", steps),
        )
    }
    others = rivals(memories)
    for title, left in (("memory", no_memory), ("SFT time", no_time), ("GRPO step", no_step)):
        print(f"\nNot used for {title}: " + "; ".join(f"{count} {why}" for why, count in left.most_common()))
    result = {
        "memory": {
            **figures(memories),
            "held_out": apart["memory"],
            "left_out": alone["memory"],
            "rivals": others,
        },
        "sft_time": {**figures(times), "held_out": apart["sft_time"], "left_out": alone["sft_time"]},
        "grpo_step": {**step_figures(steps), "left_out": alone["grpo_step"]},
        "fits": {"rows": len(verdicts), "right": sum(one.right for one in verdicts)},
        "constants": tables.constants.version,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
