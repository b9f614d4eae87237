"""At full length: the starter model is trained into every known failure, and worked examples into none."""

from uuid import uuid4

import pytest

from app.protocol import RunSpec, StarterModel, StarterRecipe
from app.run_dir import Accepted, Inputs, create_run_dir
from tests.engine.conftest import Ended
from tests.engine.scenarios import SCENARIOS, trained

pytestmark = [pytest.mark.engine, pytest.mark.full, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def models(engines, tmp_path_factory) -> dict:
    """Scenario -> the model that it left; under None the starter, trained from nothing."""
    root = tmp_path_factory.mktemp("starter")
    spec = RunSpec(name="Starter", model=StarterModel(), recipe=StarterRecipe())
    run_dir = create_run_dir(root, uuid4(), spec, Accepted(order=1, at=0.0))
    run_dir.write_inputs(
        Inputs(model_dir=None, dataset_file=None, device="cpu", threads=2, starter_cache=str(root))
    )
    ended = Ended(run_dir, engines.start(run_dir).wait())
    assert ended.end.state.value == "succeeded", ended.end
    assert ended.happenings("health") == []
    return {None: run_dir.model_dir}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_shows_its_failure_and_a_worked_example_none(engines, models, tmp_path, name):
    """In the order of the table, in which those come first that others start from."""
    scenario = SCENARIOS[name]
    ended = trained(engines, tmp_path, name, models[scenario.after])
    models[name] = ended.dir.model_dir
    found = {finding.rule for finding in ended.happenings("health")}
    assert scenario.expected <= found
    if scenario.is_healthy:
        assert ended.end.state.value == "succeeded", ended.end
        assert found == set()
