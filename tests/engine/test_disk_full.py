"""A disk that is too small for a checkpoint costs the checkpoint, and neither the metrics nor the run."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.engine.checkpoints import published
from tests.disks import mounted
from tests.engine.conftest import NAMES_THE_COLOUR, Engines, sft_recipe

pytestmark = pytest.mark.engine


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Room for the model that is kept, and not for its optimizer beside it."""
    with mounted(tmp_path / "disk", "700k") as disk:
        yield disk


def test_a_checkpoint_without_room_is_given_up_and_training_goes_on(small_disk, micro_model, demonstrations):
    with closing(Engines(small_disk)) as engines:
        run_dir = engines.prepare(sft_recipe(epochs=1), micro_model, demonstrations, NAMES_THE_COLOUR)
        ended = engines.again(run_dir, checkpoint_seconds=0, why="")
    assert ended.end.state.value == "succeeded", ended.end
    steps = [metric.step for metric in ended.happenings("metric") if "loss" in metric.values]
    assert steps == list(range(1, ended.end.total_steps + 1))
    lines = [log.line for log in ended.happenings("log")]
    assert "No checkpoint at step 1: the disk is full." in lines
    assert published(run_dir) == []
    assert not run_dir.trainer_dir.exists()
