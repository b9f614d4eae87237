"""What is refused before anything is trained, in one sentence that names the fix."""

import json
import shutil

import pytest

from app.engine.model_files import refuse_foreign_code
from app.engine.reporting import CannotTrain
from tests.engine.conftest import NAMES_THE_COLOUR, SAYS_E, grpo_recipe, sft_recipe, write_rows

pytestmark = pytest.mark.engine


def test_rows_longer_than_the_limit_are_counted_and_refused(engines, micro_model, demonstrations):
    ended = engines.run(sft_recipe(max_length=18), micro_model, demonstrations, NAMES_THE_COLOUR)
    assert ended.end.state.value == "failed"
    assert "are longer than max_length (18 tokens); the longest has 2" in ended.end.reason
    assert ended.happenings("evaluation") == []


def test_sft_without_demonstrations_is_refused_before_torch_is_imported(engines, micro_model, prompts):
    ended = engines.run(sft_recipe(), micro_model, prompts, NAMES_THE_COLOUR)
    assert ended.end.reason.startswith("The dataset has no demonstrations")
    assert ended.states == ["starting"]


def test_a_grader_whose_fields_no_row_has_is_refused(engines, micro_model, prompts):
    grader = NAMES_THE_COLOUR.model_copy(update={"reference": "{{ item.shade }}"})
    ended = engines.run(grpo_recipe(), micro_model, prompts, grader)
    assert "with the fields its grader reads: `shade`" in ended.end.reason


def test_a_vanished_dataset_is_named(engines, micro_model, tmp_path):
    ended = engines.run(grpo_recipe(), micro_model, tmp_path / "gone.jsonl", SAYS_E)
    assert ended.end.reason == "The dataset is no longer on this worker; upload it again."


def test_a_model_that_brings_code_is_refused_and_its_code_is_never_run(
    engines, micro_model, demonstrations, tmp_path
):
    model, trace = tmp_path / "model", tmp_path / "trace"
    shutil.copytree(micro_model, model)
    (model / "modeling_own.py").write_text(f"open({str(trace)!r}, 'w').close()\n")
    config = json.loads((model / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_own.Own"}
    (model / "config.json").write_text(json.dumps(config))
    ended = engines.run(sft_recipe(), model, demonstrations, NAMES_THE_COLOUR)
    assert ended.end.state.value == "failed"
    assert "config.json asks for code of its own (`auto_map`)" in ended.end.reason
    assert not trace.exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", {"text_config": {"auto_map": {}}}),
        ("config.json", {"_attn_implementation_internal": "somebody/kernel"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["own.Own", None]}}),
        ("generation_config.json", {"custom_generate": "own"}),
        ("config.json", {"trust_remote_code": True}),
    ],
)
def test_code_is_refused_wherever_a_model_names_it(tmp_path, file, content):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").touch()
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(CannotTrain, match=f"{file} asks for code of its own"):
        refuse_foreign_code(tmp_path)


def test_weights_in_other_formats_are_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(CannotTrain, match="no safetensors weights"):
        refuse_foreign_code(tmp_path)


def test_a_quantized_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"quantization_config": {"bits": 4}}')
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CannotTrain, match="quantized"):
        refuse_foreign_code(tmp_path)


def test_a_damaged_config_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CannotTrain, match=r"config\.json cannot be read"):
        refuse_foreign_code(tmp_path)


def test_one_bad_line_in_the_dataset_is_named(engines, micro_model, tmp_path):
    rows = write_rows(tmp_path / "given.jsonl", [{"messages": []}])
    ended = engines.run(grpo_recipe(), micro_model, rows, SAYS_E)
    assert "line 1" in ended.end.reason


def test_damaged_weights_are_told_in_one_sentence(engines, micro_model, demonstrations, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(micro_model, model)
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    ended = engines.run(sft_recipe(), model, demonstrations, NAMES_THE_COLOUR)
    assert ended.end.reason.startswith("The model could not be loaded: ")
