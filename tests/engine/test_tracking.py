"""Metrics for other eyes: TensorBoard files always, and a real MLflow server where there is one."""

import os
import socket
import subprocess
import sys
import time
from contextlib import closing

import httpx
import pytest

from app.protocol import TrackingTarget
from tests.engine.conftest import NAMES_THE_COLOUR, sft_recipe

pytestmark = pytest.mark.engine


def tracked(engines, micro_model, demonstrations, target):
    run_dir = engines.prepare(sft_recipe(epochs=1), micro_model, demonstrations, NAMES_THE_COLOUR)
    run_dir.write_inputs(run_dir.inputs.model_copy(update={"tracking": target}))
    return engines.wait(run_dir, engines.start(run_dir))


def free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def mlflow(tmp_path):
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--workers", "1"]
    command += ["--default-artifact-root", str(tmp_path / "artifacts")]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=tmp_path,
            start_new_session=True,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"},
        )
    try:
        wait_for(url, server, tmp_path / "log")
        yield url
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def wait_for(url, server, log):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def test_settings_and_every_step_arrive_at_mlflow(engines, micro_model, demonstrations, mlflow):
    ended = tracked(engines, micro_model, demonstrations, TrackingTarget(to=["mlflow"], url=mlflow))
    assert ended.end.state.value == "succeeded", ended.end
    assert ended.happenings("log") == []
    api = f"{mlflow}/api/2.0/mlflow"
    experiment = httpx.get(
        f"{api}/experiments/get-by-name", params={"experiment_name": "Tuning Fork"}
    ).json()["experiment"]["experiment_id"]
    [run] = httpx.post(f"{api}/runs/search", json={"experiment_ids": [experiment]}).json()["runs"]
    assert run["info"]["status"] == "FINISHED"
    assert run["info"]["run_name"] == "a test"
    params = {param["key"]: param["value"] for param in run["data"]["params"]}
    assert params["recipe.learning_rate"] == "0.01"
    assert params["recipe.kind"] == "sft"
    asked = {"run_id": run["info"]["run_id"], "metric_key": "loss"}
    points = httpx.get(f"{api}/metrics/get-history", params=asked).json()["metrics"]
    steps = [metric for metric in ended.happenings("metric") if "loss" in metric.values]
    assert [point["step"] for point in points] == [metric.step for metric in steps]
    assert [point["value"] for point in points] == pytest.approx([each.values["loss"] for each in steps])


@pytest.fixture(scope="module")
def alone(engines, micro_model, demonstrations):
    target = TrackingTarget(to=["mlflow", "wandb"], url=f"http://127.0.0.1:{free_port()}")
    return tracked(engines, micro_model, demonstrations, target)


def test_a_server_that_is_away_and_a_missing_package_are_told_once(alone):
    assert alone.end.state.value == "succeeded", alone.end
    told = sorted(log.line for log in alone.happenings("log"))
    assert len(told) == 2
    assert told[0].startswith("MLflow at http://127.0.0.1:")
    assert "was not reached: ConnectError. The run goes on" in told[0]
    assert "the package wandb is not installed on this worker" in told[1]


def test_tensorboard_files_hold_every_step(alone):
    found = scalars(alone.dir.tensorboard_dir)
    assert found["loss"] == pytest.approx(alone.metrics("loss"))
    assert len(found["grad_norm"]) == alone.end.total_steps


def scalars(folder):
    """By tag, in order; records are length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    [file] = folder.iterdir()
    content, found = file.read_bytes(), {}
    while content:
        size = int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12 : 12 + size])
        for value in event.summary.value:
            found.setdefault(value.tag, []).append(value.simple_value)
        content = content[12 + size + 4 :]
    return found
