"""The launch form becomes specs or problems: nothing is lost, guessed or said in a machine's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.datasets import generated
from app.protocol import (
    AdapterTuning,
    EvaluationPlan,
    FullTuning,
    GrpoRecipe,
    Guard,
    HubModel,
    Length,
    Limits,
    LocalModel,
    Math,
    Multi,
    Python,
    Regex,
    RewardModelGrader,
    RewardModelRecipe,
    RunSpec,
    ScoreModel,
    SftRecipe,
    StringCheck,
)
from app.runs import plan_runs
from app.web.launch_defaults import BESIDE, USUAL, Chosen, fitting, like
from app.web.launch_form import PLANS, Offers, read
from app.web.launch_graders import grader_values
from app.web.launch_values import evaluation_values, model_value, recipe_values, spec_values
from app.web.launch_words import chosen_in, settled_before, settled_for
from app.web.recipe_settings import GRPO, REWARD_MODEL, SFT
from app.web.run_settings import ADAPTER, EVALUATION, LIMITS

GRADER = Regex(name="ruling", pattern=r"Ruling: (\w+)", reference="{{ item.answer }}")
PAIRS = "uploaded:" + "a" * 64


def form(**changed: str) -> dict[str, str]:
    values = {"name": "Appeals", "plan": "sft_then_grpo", "dataset": "generated:rulings", "pairs": PAIRS}
    values |= BESIDE | {"seed": "7"} | model_value(HubModel(id="owner/name"))
    values |= (
        recipe_values(USUAL["sft"]) | recipe_values(USUAL["grpo"]) | recipe_values(USUAL["reward_model"])
    )
    values |= grader_values("grader", GRADER) | grader_values("draft_grader", None)
    values |= evaluation_values(EvaluationPlan())
    return values | {name.replace("__", "."): value for name, value in changed.items()}


def problem(where: str, **changed: str) -> str:
    found = {problem.where: problem.what for problem in read(form(**changed)).problems}
    assert list(found) == [where]
    return found[where]


@pytest.mark.parametrize(
    ("whole", "settings"),
    [
        (SftRecipe, SFT),
        (GrpoRecipe, GRPO),
        (RewardModelRecipe, REWARD_MODEL),
        (AdapterTuning, ADAPTER),
        (EvaluationPlan, EVALUATION),
        (Limits, LIMITS),
    ],
)
def test_the_form_shows_every_setting(whole, settings):
    apart = {"kind", "tuning", "advanced", "guard", "max_minutes"}
    assert {setting.name for setting in settings} == set(whole.model_fields) - apart


def test_what_a_form_starts_with_is_what_it_reads_back():
    reading = read(form())
    assert reading.problems == []
    assert [spec.recipe for spec in reading.specs] == [USUAL["sft"], USUAL["grpo"]]
    assert reading.specs[0].grader == GRADER
    assert reading.specs[0].evaluation == EvaluationPlan()
    assert reading.specs[1].seed == 7


def test_two_stages_are_told_apart_by_name():
    assert [spec.name for spec in read(form()).specs] == ["Appeals, SFT", "Appeals, GRPO"]


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_has_a_spec_for_each_of_its_methods(plan):
    assert [spec.recipe.kind for spec in read(form(plan=plan)).specs] == list(PLANS[plan])


@pytest.mark.parametrize("typed", ["fast", "0,001", "nan", "inf", "1_000", "٣", "1e99999", "--1"])
def test_what_is_not_a_number_is_refused_in_words(typed):
    assert problem("sft.learning_rate", sft__learning_rate=typed).startswith("Learning rate ")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("0", "must be greater than 0"),
        ("2", "must be at most 1"),
        ("1e400", "too large"),
        ("", "enter a number"),
    ],
)
def test_a_number_out_of_range_is_told_its_range(typed, said):
    assert said in problem("grpo.learning_rate", grpo__learning_rate=typed)


def test_a_whole_number_is_not_rounded():
    assert "whole number" in problem("grpo.steps", grpo__steps="1.5")


def test_a_batch_that_splits_a_group_names_one_that_does_not():
    assert "63 would do" in problem("grpo.batch_size", grpo__num_generations="7", grpo__micro_batch_size="64")


def test_an_empty_optional_setting_is_none():
    assert read(form(sft__max_demonstrations="")).specs[0].recipe.max_demonstrations is None


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 91])
def test_a_name_is_needed_and_must_be_readable(name):
    assert problem("name", name=name)


@pytest.mark.parametrize(("field", "value"), [("plan", "dpo"), ("model", "mine"), ("dataset", "")])
def test_a_choice_that_is_none_of_those_offered_is_asked_again(field, value):
    assert problem(field, **{field: value})


def test_a_dataset_of_another_name_is_refused():
    assert problem("dataset", dataset="generated:../../etc/passwd")


def test_a_run_may_start_from_the_model_of_another():
    earlier = read(form(plan="sft")).specs[0]
    value = "run:7b0b0a1e-6a0f-4c62-9d5e-0f6f2b7f4f10"
    later = read(form(plan="grpo", model=value), Offers({value: earlier})).specs[0]
    assert later.model == earlier.model
    assert str(later.starts_from) == value.removeprefix("run:")


def test_a_run_that_was_not_offered_cannot_be_started_from():
    assert problem("model", model="run:7b0b0a1e-6a0f-4c62-9d5e-0f6f2b7f4f10")


def test_a_json_schema_is_read_strictly():
    grading = {"grader": "json_schema", "grader__name": "clause", "plan": "sft"}
    said = problem("grader.json_schema.schema", grader__json_schema__schema='{"a": 1, "a": 2}', **grading)
    assert "twice" in said
    spec: RunSpec = read(form(grader__json_schema__schema='{"type": "object"}', **grading)).specs[0]
    assert spec.grader.json_schema == {"type": "object"}


# Everything a run may be, in fields and back

names = st.text("abc ß-", min_size=1, max_size=30).map(str.strip).filter(bool)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)
share = st.floats(0, 1)
graders = st.one_of(
    st.builds(Regex, name=texts, pattern=texts, reference=st.none() | texts),
    st.builds(StringCheck, name=texts, reference=texts, operation=st.sampled_from(["eq", "ilike"])),
    st.builds(RewardModelGrader, name=texts, run=st.uuids(), pass_threshold=share),
    st.builds(Math, name=texts, reference=texts),
    st.builds(Length, name=texts, low=st.integers(0, 9), high=st.integers(9, 90)),
    st.builds(Python, name=texts, source=texts, low=st.floats(-1, 0)),
    st.builds(Multi, name=texts, graders=st.just({"a": GRADER}), calculate_output=st.just("a")),
    st.sampled_from([generated.grader(name) for name in generated.TASKS]),
)
tunings = st.just(FullTuning()) | st.builds(
    AdapterTuning,
    kind=st.sampled_from(["lora", "qlora"]),
    rank=st.integers(1, 64),
    dropout=st.floats(0, 0.9),
    target_modules=st.lists(st.sampled_from(["q_proj", "k_proj"]), max_size=2),
)
advanced = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True),
    st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    max_size=3,
)
common = {
    "learning_rate": st.floats(1e-9, 1),
    "batch_size": st.just(64),
    "micro_batch_size": st.sampled_from([8, 64]),
    "warmup_ratio": share,
    "lr_scheduler": st.sampled_from(["cosine", "linear", "constant"]),
    "tuning": tunings,
    "advanced": advanced,
}
recipes = st.one_of(
    st.builds(
        SftRecipe,
        epochs=st.floats(0.01, 99),
        max_length=st.integers(16, 9999),
        max_demonstrations=st.none() | st.integers(1, 99),
        packing=st.booleans(),
        **common,
    ),
    st.builds(
        GrpoRecipe,
        steps=st.integers(1, 999),
        num_generations=st.sampled_from([2, 8]),
        max_completion_length=st.integers(1, 999),
        epsilon_high=st.none() | st.floats(0.1, 1),
        mask_truncated_completions=st.booleans(),
        **common,
    ),
    st.builds(RewardModelRecipe, epochs=st.floats(0.01, 9), max_length=st.integers(16, 999), **common),
)
amounts = st.none() | st.floats(0.001, 1e4)
limits = st.builds(
    Limits,
    steps=st.none() | st.integers(1, 999),
    minutes=amounts,
    gpu_hours=amounts,
    money=amounts,
    price_per_gpu_hour=st.floats(0.01, 99),
)
datasets = st.builds(lambda name: {"kind": "generated", "name": name}, st.sampled_from(list(generated.TASKS)))
guards = st.builds(Guard, dataset=datasets, grader=graders, items=st.integers(1, 999))
plans = st.builds(
    EvaluationPlan,
    items=st.integers(1, 9999),
    temperature=st.floats(0.01, 2),
    baseline=st.sampled_from(["first", "later", "skip"]),
    checks=st.integers(0, 99),
    guard=st.none() | guards,
)
models = st.builds(HubModel, id=st.just("some/model"), revision=st.none() | st.just("main")) | st.builds(
    LocalModel, name=st.just("mine")
)


@st.composite
def specs(draw):
    recipe = draw(recipes)
    measured = (
        {}
        if recipe.kind == "reward_model"
        else {
            "grader": draw(graders),
            "draft_grader": draw(st.none() | graders),
            "independent_graders": draw(st.lists(graders, max_size=4)),
        }
    )
    evaluation = draw(plans)
    return RunSpec(
        name=draw(names),
        model=draw(models),
        dataset=draw(datasets),
        recipe=recipe,
        limits=draw(limits),
        evaluation=evaluation,
        on_finding=draw(st.sampled_from(["as_ruled", "warn", "stop"])),
        keep=draw(st.sampled_from(["last", "best"])),
        seed=draw(st.integers(0, 2**31 - 1)),
        **measured,
    )  # fmt: skip


@given(specs())
def test_a_run_put_into_fields_is_read_back_as_the_same_run(spec):
    first = read(spec_values(spec))
    assert first.problems == []
    assert first.specs == [spec]
    assert read(spec_values(first.specs[0])).specs == [spec]


@given(specs(), st.lists(st.uuids(), min_size=1, max_size=3, unique=True))
def test_a_stored_grader_is_named_and_still_the_same_run(spec, ids):
    own = [grader for grader in (spec.grader, *spec.independent_graders) if grader]
    stored = {f"grader:{key}": grader for key, grader in zip(ids, own, strict=False)}
    values = spec_values(spec, stored)
    assert read(values, Offers(graders=stored)).specs == [spec]
    if own:
        assert values["grader"] == "stored"


def test_a_copy_carries_everything_but_the_name():
    spec = read(form(plan="grpo", limits__minutes="30", conduct__keep="best", priority="1")).specs[0]
    copied = read(like(spec, {}, priority=1))
    assert copied.priority == 1
    assert copied.specs == [spec.model_copy(update={"name": "Appeals again"})]


def test_the_older_limit_of_time_and_the_newer_become_the_lower():
    recipe = USUAL["sft"].model_copy(update={"max_minutes": 5.0})
    spec = read(form(plan="sft", limits__minutes="30")).specs[0].model_copy(update={"recipe": recipe})
    assert read(spec_values(spec)).specs[0].limits.minutes == 5


def test_money_without_a_price_is_asked_for_its_price():
    assert "price_per_gpu_hour" in problem("limits.price_per_gpu_hour", limits__money="20", plan="sft")


def test_a_reward_model_needs_no_grader_and_then_grades_the_second_run():
    reading = read(form(plan="reward_model_then_grpo", grader=""))
    assert reading.problems == []
    pairs, graded = reading.specs
    assert (pairs.recipe.kind, pairs.grader, pairs.dataset.kind) == ("reward_model", None, "uploaded")
    (first, _), (_, second) = plan_runs([pairs, graded])
    assert second.grader.run == first
    assert second.starts_from is None


def test_pairs_are_asked_for_where_a_plan_begins_with_them():
    assert problem("pairs", plan="reward_model_then_grpo", pairs="") == "Choose what to learn from."


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("weight_decay", "Line 1: write it as name = value."),
        ("# so\nweight_decay = 0.1\nweight_decay = 0.2", "Line 3: weight_decay stands there twice."),
        ("Weight Decay = 0.1", "has characters that cannot be used"),
    ],
)
def test_an_advanced_field_that_cannot_be_read_is_said_by_its_line(typed, said):
    assert said in problem("grpo.advanced", plan="grpo", grpo__advanced=typed)


def test_advanced_fields_are_read_by_what_they_are():
    typed = "weight_decay = 0.1\nshuffle_dataset = true\ntop_k = 20\noptim = adamw_torch\n"
    found = read(form(plan="grpo", grpo__advanced=typed)).specs[0].recipe.advanced
    assert found == {"weight_decay": 0.1, "shuffle_dataset": True, "top_k": 20, "optim": "adamw_torch"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("grader.json", "{"),
        ("grader.json", '{"type": "nothing"}'),
        ("grader.json", '{"type": "length", "name": "n", "low": 9, "high": 1}'),
        ("grader.json", "[]"),
    ],
)
def test_a_grader_as_json_that_cannot_be_used_is_said_beside_it(field, value):
    assert problem(field, plan="sft", grader="json", **{field.replace(".", "__"): value})


def test_any_kind_of_grader_can_be_written_as_json():
    judge = ScoreModel(name="judge", input=[{"role": "user", "content": "{{ sample.output_text }}"}])
    values = form(plan="grpo") | {"grader": "json", "grader.json": judge.model_dump_json()}
    assert read(values).specs[0].grader == judge


@pytest.mark.parametrize("chosen", ["", "grader:gone"])
def test_a_stored_grader_must_still_be_there(chosen):
    assert problem("grader.stored", plan="sft", grader="stored", grader__stored=chosen)


def test_a_guard_needs_a_grader_of_its_own():
    assert problem("guard.grader", plan="sft", guard__dataset=PAIRS, guard__grader="task")


@pytest.mark.parametrize(
    ("hub_id", "size"),
    [("Qwen/Qwen3-0.6B", 600_000_000), ("a/SmolLM2-135M-Instruct", 135_000_000), ("a/phi-4", None)],
)
def test_a_models_size_is_read_from_its_name(hub_id, size):
    assert chosen_in({"model": "hub", "hub_id": hub_id}).parameters == size


def test_what_settings_were_made_for_comes_back_from_the_form():
    chosen = Chosen("sft", "hub", "generated:rulings", "lora", 600_000_000)
    assert settled_before(settled_for(chosen), {}) == chosen


def test_adapters_start_with_a_higher_learning_rate():
    rates = [
        float(fitting(Chosen("sft", "hub", "", tuning), None)["sft.learning_rate"])
        for tuning in ("full", "lora")
    ]
    assert rates[1] > rates[0]


def test_what_happens_on_a_finding_and_what_is_kept_are_chosen():
    spec = read(form(plan="grpo", conduct__on_finding="stop", conduct__keep="best")).specs[0]
    assert (spec.on_finding, spec.keep) == ("stop", "best")
