"""Memory, time and money of both methods: worked numbers, and what must rise when something else does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.advisor.answers import ModelConfig
from app.advisor.economics import (
    as_it_is,
    best_tuning,
    fitted,
    grpo_cost,
    levers,
    loop_ratio,
    ratios,
    sft_cost,
    step_of,
)
from app.advisor.job import Job, model_from_config
from app.advisor.memory import (
    GIB,
    Rollouts,
    cache_tokens,
    grpo_parts,
    logit_bytes,
    saved_bytes,
    setup_of,
    training_parts,
    verdict,
    work_bytes,
)
from app.advisor.tables import Price
from app.advisor.throughput import (
    Machine,
    decay_length,
    dequantise_seconds,
    grpo_step,
    micro_batch_seconds,
    optimizer_seconds,
    rollout_seconds,
    sft_step_seconds,
    training_flops,
    waves,
)
from app.main import read_rulebook
from tests.thorough import cases

TABLES = read_rulebook().tables
CONSTANTS = TABLES.constants
TRL = CONSTANTS.stacks["trl"]
SEVEN, SMALL = TABLES.model("Qwen2.5-7B"), TABLES.model("Qwen2.5-1.5B")
A100 = TABLES.gpu("A100-80")
assert SEVEN
assert SMALL
assert A100
MACHINE = Machine(A100, TRL, CONSTANTS.time)

CALM = settings(max_examples=cases(100), deadline=None, derandomize=True)
names = st.sampled_from([model.name for model in TABLES.models])
gpus = st.sampled_from([gpu.name for gpu in TABLES.gpus])
tunings = st.sampled_from(["full", "lora", "qlora"])
stacks = st.sampled_from(sorted(CONSTANTS.stacks))
booleans = st.booleans()


def peak(model, setup):
    return training_parts(CONSTANTS, model, setup).peak(CONSTANTS.memory)


def four_thousand(stack, tuning, **chosen):
    return setup_of(CONSTANTS.stacks[stack], tuning, **{"length": 1024, "micro_batch": 4, **chosen})


GRPO = {"length": 768, "micro_batch": 8, "scored": 8 * 512}


@pytest.mark.parametrize(
    ("model", "setup", "allocated", "card"),
    [
        (SEVEN, four_thousand("trl", "lora"), 16.61, 18.34),
        (SEVEN, four_thousand("trl", "lora", loss="full_fp32"), 24.83, 26.97),
        (SEVEN, four_thousand("trl", "qlora"), 7.42, 8.69),
        (SMALL, four_thousand("trl", "full"), 11.50, 12.98),
        (SMALL, four_thousand("trl_fp32", "full"), 23.00, 25.05),
        (SMALL, four_thousand("trl", "lora", **GRPO), 4.38, 5.50),
        (SMALL, four_thousand("trl", "lora", loss="full_fp32", **GRPO), 12.92, 14.46),
    ],
)
def test_worked_examples_of_memory_to_the_last_digit(model, setup, allocated, card):
    parts = training_parts(CONSTANTS, model, setup)
    assert parts.allocated / GIB == pytest.approx(allocated, abs=0.006)
    assert parts.peak(CONSTANTS.memory) / GIB == pytest.approx(card, abs=0.006)


def test_worked_parts_of_a_seven_billion_model_with_lora():
    setup = four_thousand("trl", "lora")
    parts = training_parts(CONSTANTS, SEVEN, setup)
    assert SEVEN.lora_parameters(16) == 40_370_176
    assert parts.weights / GIB == pytest.approx(14.18, abs=0.006)
    assert parts.lora / GIB == pytest.approx(0.60, abs=0.006)
    assert saved_bytes(SEVEN, setup) / GIB == pytest.approx(0.77, abs=0.006)
    assert work_bytes(CONSTANTS.memory, SEVEN, setup) / GIB == pytest.approx(1.06, abs=0.006)
    assert logit_bytes(CONSTANTS, SEVEN, setup) / GIB == pytest.approx(0.30, abs=0.006)
    assert parts.largest == "weights"


def test_worked_examples_of_time():
    """Attention is timed apart from matrix products, which moves these by under one per cent."""
    lora, qlora, full = (four_thousand("trl", tuning) for tuning in ("lora", "qlora", "full"))
    assert MACHINE.efficiency(SEVEN) == pytest.approx(0.453, abs=0.0005)
    assert training_flops(SEVEN, lora) / 1e9 == pytest.approx(43.0, abs=0.05)
    assert micro_batch_seconds(MACHINE, SEVEN, lora) == pytest.approx(1.25, rel=0.01)
    assert dequantise_seconds(MACHINE, SEVEN, qlora) == pytest.approx(0.149, abs=0.0005)
    assert qlora.tokens / micro_batch_seconds(MACHINE, SEVEN, qlora) == pytest.approx(2930, rel=0.01)
    assert MACHINE.efficiency(SMALL) == pytest.approx(0.330, abs=0.0005)
    assert micro_batch_seconds(MACHINE, SMALL, full) == pytest.approx(0.513, rel=0.01)
    assert optimizer_seconds(MACHINE, SMALL, full) == pytest.approx(0.030, abs=0.0005)


def test_worked_example_of_rollouts():
    assert decay_length(300, 512) == pytest.approx(432, abs=0.5)
    rollouts = Rollouts(prompts=8, group=8, prompt=256, mean=300, longest=512)
    assert rollout_seconds(MACHINE, SMALL, four_thousand("trl", "lora"), rollouts) == pytest.approx(
        3.2, abs=0.06
    )


def test_sizes_of_models_are_those_published():
    for name, billions in {"Qwen2.5-7B": 7.615, "Qwen3-0.6B": 0.596, "Llama-3.1-70B": 70.552}.items():
        assert TABLES.model(name).parameters / 1e9 == pytest.approx(billions, rel=0.001)
    assert SEVEN.cache_bytes == 56 * 1024
    assert TABLES.model("Qwen2-7B") is SEVEN


@CALM
@given(st.floats(0.05, 500))
def test_a_size_alone_gives_a_shape_of_about_that_size(billions):
    assert TABLES.of_size(billions).parameters / 1e9 == pytest.approx(billions, rel=0.15)


CONFIG = {
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "intermediate_size": 18944,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
    "rope_theta": 1000000.0,
}


def test_a_shape_is_read_from_a_config():
    for config in (CONFIG, {"text_config": CONFIG}):
        shape = model_from_config("mine", ModelConfig.model_validate(config))
        assert shape.parameters == SEVEN.parameters
    with pytest.raises(ValueError, match="mixture of experts is not estimated"):
        ModelConfig.model_validate({**CONFIG, "num_experts": 64})


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen2.5-7B"),
        ("meta-llama/Llama-3.1-8B", "Llama-3.1-8B"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "Qwen2.5-7B"),
    ],
)
def test_models_are_found_however_people_write_them(written, name):
    assert TABLES.model(written).name == name


def test_gpus_are_found_as_drivers_name_them():
    assert TABLES.gpu("NVIDIA A100-SXM4-80GB").name == "A100-80"
    assert TABLES.gpu("NVIDIA H100 80GB HBM3").name == "H100 SXM"
    assert TABLES.gpu("NVIDIA GeForce RTX 4090").name == "RTX 4090"
    assert TABLES.gpu("Voodoo 2") is None


def test_names_are_unique_and_prices_in_order():
    for rows in (TABLES.models, TABLES.gpus):
        every = [name for row in rows for name in (row.name, *row.aliases)]
        assert len(every) == len(set(every))
    for gpu in TABLES.gpus:
        assert (gpu.price is None) == (gpu.dated is None)
        assert gpu.price is None or 0 < gpu.price.low <= gpu.price.typical <= gpu.price.high
        assert gpu.usable_gib * GIB <= gpu.memory_gb * 1e9 * 1.075


def test_a_gpu_is_guessed_from_its_memory():
    assert TABLES.gpu_of_memory(80).name == "A100-80"
    small = TABLES.gpu_of_memory(8)
    assert (small.name, small.memory_gb) == ("T4", 8)
    assert small.usable_gib < 8


# What must rise, and what must not


def setups():
    return st.builds(
        lambda stack, tuning, **chosen: setup_of(CONSTANTS.stacks[stack], tuning, **chosen),
        stacks,
        tunings,
        micro_batch=st.integers(1, 16),
        length=st.integers(64, 8192),
        accumulation=st.sampled_from([1, 4]),
        checkpointing=booleans,
        flash=booleans,
        rank=st.sampled_from([1, 8, 16, 64]),
        gpus=st.sampled_from([1, 2, 8]),
        sharding=st.sampled_from(["none", "zero2", "zero3"]),
    )


def changed(setup, **values):
    return setup._replace(**values)


@CALM
@given(names, setups())
def test_parts_add_up_and_metrics_are_in_order(name, setup):
    parts = training_parts(CONSTANTS, TABLES.model(name), setup)
    assert all(part >= 0 for part in vars(parts).values())
    assert sum(vars(parts).values()) == pytest.approx(parts.allocated)
    memory = CONSTANTS.memory
    assert parts.allocated < parts.peak(memory, "reserved") < parts.peak(memory, "card")


@CALM
@given(names, setups(), st.sampled_from(["micro_batch", "length", "rank"]))
def test_memory_never_falls_when_a_batch_a_sequence_or_a_rank_grows(name, setup, field):
    model = TABLES.model(name)
    grown = changed(setup, **{field: 2 * getattr(setup, field)})
    assert peak(model, grown) >= peak(model, setup)


@CALM
@given(names, setups(), st.sampled_from(["layers", "vocabulary", "feed_forward"]))
def test_memory_and_time_never_fall_when_the_model_grows(name, setup, field):
    model = TABLES.model(name)
    grown = model.model_copy(update={field: getattr(model, field) + 8})
    assert peak(grown, setup) >= peak(model, setup)
    assert sft_step_seconds(MACHINE, grown, setup) >= sft_step_seconds(MACHINE, model, setup)


@CALM
@given(names, setups())
def test_checkpointing_and_flash_attention_never_cost_memory(name, setup):
    model = TABLES.model(name)
    if model.layers > 1:
        on, off = changed(setup, checkpointing=True), changed(setup, checkpointing=False)
        assert peak(model, on) <= peak(model, off)
    assert peak(model, changed(setup, flash=True)) <= peak(model, changed(setup, flash=False))


@CALM
@given(names, st.integers(1, 8), st.integers(64, 8192), booleans)
def test_qlora_needs_no_more_than_lora_and_lora_no_more_than_full(name, micro_batch, length, checkpointing):
    model = TABLES.model(name)
    full, lora, qlora = (
        peak(
            model,
            setup_of(
                TRL, tuning, micro_batch=micro_batch, length=length, checkpointing=checkpointing, rank=16
            ),
        )
        for tuning in ("full", "lora", "qlora")
    )
    assert qlora <= lora <= full


@CALM
@given(names, setups(), st.sampled_from([2, 4, 8]))
def test_sharding_never_raises_what_is_held_per_parameter(name, setup, gpus):
    alone, spread = changed(setup, gpus=1), changed(setup, gpus=gpus, sharding="zero3", accumulation=4)
    one, many = (training_parts(CONSTANTS, TABLES.model(name), each) for each in (alone, spread))
    assert many.weights + many.optimizer < max(one.weights + one.optimizer, 1)


@CALM
@given(names, setups())
def test_bf16_never_needs_more_than_float32(name, setup):
    narrow, wide = (
        changed(setup, loss="full_fp32", weights=w, gradients=g, optimizer=o)
        for w, g, o in ((2, 2, 4), (4, 4, 8))
    )
    assert peak(TABLES.model(name), narrow) <= peak(TABLES.model(name), wide)


@CALM
@given(names, setups())
def test_a_fused_head_never_holds_more_than_whole_logits(name, setup):
    model = TABLES.model(name)
    fused, whole = changed(setup, loss="fused_head"), changed(setup, loss="full_fp32")
    if fused.tokens >= model.hidden:
        assert logit_bytes(CONSTANTS, model, fused) <= logit_bytes(CONSTANTS, model, whole)


@CALM
@given(names, setups(), gpus)
def test_time_never_rises_with_a_faster_gpu(name, setup, gpu_name):
    model, gpu = TABLES.model(name), TABLES.gpu(gpu_name)
    before = sft_step_seconds(Machine(gpu, TRL, CONSTANTS.time), model, setup)
    for field in ("teraflops", "bandwidth_gb_s"):
        faster = gpu.model_copy(update={field: 2 * getattr(gpu, field)})
        assert sft_step_seconds(Machine(faster, TRL, CONSTANTS.time), model, setup) <= before


def rollout_plans():
    return st.builds(
        lambda **said: Rollouts(**said),
        engine=st.sampled_from(["vllm_colocate", "hf_generate"]),
        prompts=st.integers(1, 64),
        group=st.integers(2, 16),
        prompt=st.integers(16, 1024),
        mean=st.integers(16, 2000),
        longest=st.integers(64, 4000),
        utilization=st.sampled_from([0.2, 0.3, 0.5]),
        grader_seconds=st.sampled_from([0, 0.1, 2.5]),
        grader_concurrency=st.sampled_from([1, 8, 100]),
        cache_tokens=st.sampled_from([None, 10_000.0, 200_000.0]),
    )


@CALM
@given(names, rollout_plans(), st.sampled_from(["mean", "longest", "group", "prompts", "grader_seconds"]))
def test_a_grpo_step_never_shortens_when_answers_or_groups_grow(name, rollouts, field):
    model, setup = TABLES.model(name), four_thousand("trl", "lora")
    grown = rollouts._replace(**{field: 2 * getattr(rollouts, field)})
    before, after = (grpo_step(MACHINE, model, setup, each) for each in (rollouts, grown))
    # The sum over positions is sampled, so that a longer limit may shift it by a hair.
    assert after.seconds >= before.seconds * 0.999


@CALM
@given(names, rollout_plans())
def test_the_parts_of_a_grpo_step_add_up_and_the_longest_answer_is_waited_for(name, rollouts):
    model, setup = TABLES.model(name), four_thousand("trl", "lora")
    step = grpo_step(MACHINE, model, setup, rollouts)
    assert step.seconds == pytest.approx(
        step.rollouts + step.scoring + step.log_probabilities + step.update + step.sync
    )
    assert step.rollouts >= rollouts.longest * CONSTANTS.time.token_seconds_vllm
    assert 0 < step.rollout_share < 1


@CALM
@given(names, rollout_plans(), tunings)
def test_sleeping_engines_and_engines_elsewhere_never_cost_memory(name, rollouts, tuning):
    model, setup = TABLES.model(name), four_thousand("trl", tuning)
    awake, asleep, elsewhere = (
        grpo_parts(CONSTANTS, model, setup, rollouts._replace(**update), 79 * GIB).peak(CONSTANTS.memory)
        for update in (
            {"engine": "vllm_colocate"},
            {"engine": "vllm_colocate", "sleep": True},
            {"engine": "vllm_server"},
        )
    )
    assert elsewhere <= asleep <= awake


latencies = (
    "token_seconds_vllm",
    "token_seconds_hf_per_layer",
    "launch_seconds_per_layer",
    "sync_seconds",
)


@CALM
@given(names, rollout_plans(), st.sampled_from(latencies))
def test_more_latency_never_shortens_a_step(name, rollouts, latency):
    model, setup = TABLES.model(name), four_thousand("trl", "lora")
    slower = CONSTANTS.time.model_copy(update={latency: 3 * getattr(CONSTANTS.time, latency)})
    before, after = (
        grpo_step(Machine(A100, TRL, constants), model, setup, rollouts)
        for constants in (CONSTANTS.time, slower)
    )
    assert after.seconds >= before.seconds
    assert after.rollout_share <= 1


@CALM
@given(names, rollout_plans(), st.integers(1, 64))
def test_a_larger_cache_and_more_graders_never_lengthen_a_step(name, rollouts, more):
    model, setup = TABLES.model(name), four_thousand("trl", "lora")
    held = rollouts.cache_tokens and more * rollouts.cache_tokens
    roomier = rollouts._replace(cache_tokens=held, grader_concurrency=more * rollouts.grader_concurrency)
    before, after = (grpo_step(MACHINE, model, setup, each) for each in (rollouts, roomier))
    assert after.seconds <= before.seconds * 1.000001


def test_a_cache_for_half_the_answers_takes_two_waves():
    setup, whole = four_thousand("trl", "lora"), Rollouts(prompts=8, group=8, prompt=256, mean=300)
    held = 8 * 256 + 64 * 300
    assert [waves(setup, whole._replace(cache_tokens=share * held)) for share in (1, 0.5, 0.34)] == [1, 2, 3]
    # Weights of 14.2 GiB and 1.5 GiB beside them leave 8 of 23.8 GiB, at 56 KiB a token.
    room = cache_tokens(CONSTANTS.memory, SEVEN, setup, Rollouts(), A100.usable_gib * GIB)
    assert room == pytest.approx((0.3 * 79.2 - 1.5 - 14.18) * 2**20 / 56, rel=0.01)


def test_asynchronous_steps_take_the_slower_side():
    rollouts = Rollouts(generators=1, asynchronous=True, passes=0)
    step = grpo_step(MACHINE, SMALL, four_thousand("trl", "lora"), rollouts)
    assert step.seconds == pytest.approx(max(step.rollouts, step.update) + step.sync)


def test_verdicts_leave_room_for_error():
    size = A100.usable_gib * GIB
    assert [verdict(share * size, A100) for share in (0.8, 0.9, 0.96)] == ["fits", "tight", "no"]


# A whole job

JOB = Job(SEVEN, A100, TRL, Rollouts(), price=A100.price)


def verdict_of(method, tuning, job=JOB):
    return fitted(TABLES, job, method, tuning).verdict


def test_every_configuration_of_a_job_is_judged():
    assert verdict_of("sft", "lora") == "fits"
    assert verdict_of("grpo", "full") == "tight"
    assert verdict_of("grpo", "lora", JOB._replace(gpu=TABLES.gpu("RTX 4090"))) == "no"
    assert verdict_of("grpo", "qlora", JOB._replace(gpu=TABLES.gpu("RTX 4090"))) != "no"
    assert fitted(TABLES, JOB, "grpo", "lora").parts.largest == "generator"


def test_what_fits_with_room_is_preferred_to_what_just_fits():
    tuning, _ = best_tuning(TABLES, JOB, "grpo", ("full", "lora", "qlora"))
    assert tuning == "lora"
    assert best_tuning(TABLES, JOB, "grpo", ("full",))[0] == "full"


@CALM
@given(names, gpus, tunings, st.sampled_from(["sft", "grpo"]), st.sampled_from([1, 2, 8]))
def test_fitting_never_costs_memory(name, gpu, tuning, method, count):
    job = JOB._replace(model=TABLES.model(name), gpu=TABLES.gpu(gpu), gpus=count, shardable=True)
    assert fitted(TABLES, job, method, tuning).peak <= as_it_is(TABLES, job, method, tuning).peak * (1 + 1e-9)


def test_hours_and_money_are_ranges_and_doubling_the_price_doubles_the_money():
    dear = JOB._replace(price=Price(low=2, typical=4, high=8))
    dearer = JOB._replace(price=Price(low=4, typical=8, high=16))
    for spend in (
        lambda job: sft_cost(TABLES, job, "lora"),
        lambda job: grpo_cost(TABLES, job, step_of(TABLES, job, "lora")),
    ):
        once, twice = spend(dear), spend(dearer)
        assert once.hours.low < once.hours.typical < once.hours.high
        assert twice.dollars == once.dollars.times(2)
        assert once.dollars.typical == pytest.approx(4 * once.gpu_hours.typical)


def test_without_a_price_there_is_no_money():
    assert sft_cost(TABLES, JOB._replace(gpu=TABLES.gpu("H20"), price=None), "lora").dollars is None


def test_known_answer_lengths_narrow_the_range():
    step = step_of(TABLES, JOB, "lora")
    unknown = grpo_cost(TABLES, JOB, step).hours
    told = grpo_cost(TABLES, JOB._replace(lengths_known=True), step).hours
    assert unknown.typical == told.typical
    assert unknown.low < told.low < told.high < unknown.high


def test_the_ratio_per_prompt_is_the_ratio_per_token_times_tries_and_lengths():
    found = ratios(TABLES, JOB, JOB, "lora", step_of(TABLES, JOB, "lora"))
    assert found.per_token > 1
    assert found.per_prompt == pytest.approx(found.per_token * 8 * (256 + 300) / 1024)


def test_a_measured_share_of_sampling_takes_the_place_of_the_estimate():
    measured = JOB._replace(rollouts=Rollouts(measured_share=0.8))
    assert step_of(TABLES, measured, "lora").rollout_share == pytest.approx(0.8)


@CALM
@given(names, rollout_plans(), tunings)
def test_taking_turns_never_costs_less_than_the_update(name, rollouts, tuning):
    assert loop_ratio(TABLES, JOB._replace(model=TABLES.model(name), rollouts=rollouts), tuning) >= 1


def test_levers_shorten_the_step_most_first():
    slow = JOB._replace(rollouts=Rollouts(engine="hf_generate", mean=1000, longest=4000))
    found = levers(TABLES, slow, "lora")
    assert found[0].id == "vllm"
    assert [lever.share for lever in found] == sorted(lever.share for lever in found)
    assert all(lever.share <= 0.95 for lever in found)
