"""Checkpoints are published whole or not at all, and one that is not what was published is never loaded."""

import os
import pickle
import signal
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from app.engine import checkpoints
from app.engine.checkpoints import MANIFEST, Unsound, best, newest_sound, prune, publish, published, verify
from app.protocol import RunSpec, StarterModel, StarterRecipe
from app.run_dir import Accepted, RunDir, create_run_dir

SPEC = RunSpec(name="a run", model=StarterModel(), recipe=StarterRecipe())

WEIGHTS = b"weights" * 50_000


@pytest.fixture
def run(tmp_path) -> RunDir:
    return create_run_dir(tmp_path, uuid4(), SPEC, Accepted(order=1, at=2.5))


def staged(run: RunDir, step: int) -> Path:
    folder = run.trainer_dir / f"checkpoint-{step}"
    (folder / "adapter").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(WEIGHTS + b"%d" % step)
    (folder / "adapter" / "weights.safetensors").write_bytes(b"a")
    (folder / "optimizer.pt").write_bytes(b"moments")
    return folder


def save(run: RunDir, step: int, score: float | None = None, can_resume: bool = True) -> Path:
    return publish(run, staged(run, step), step, score, can_resume).path


def steps(run: RunDir) -> list[int]:
    return [each.step for each in published(run)]


def test_what_was_published_verifies_with_its_size_and_score(run):
    path = save(run, 5, score=0.75)
    found = verify(path)
    assert (found.step, found.score) == (5, 0.75)
    assert found.bytes == len(WEIGHTS) + len(b"5") + len(b"a") + len(b"moments")
    assert set(found.manifest.files) == {"model.safetensors", "adapter/weights.safetensors", "optimizer.pt"}
    assert not (run.trainer_dir / "checkpoint-5").exists()


def flip_a_bit(path: Path) -> None:
    content = bytearray((path / "model.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "model.safetensors").write_bytes(content)


def cut_short(path: Path) -> None:
    os.truncate(path / "model.safetensors", len(WEIGHTS) // 2)


def lose_a_file(path: Path) -> None:
    (path / "optimizer.pt").unlink()


def lose_the_manifest(path: Path) -> None:
    (path / MANIFEST).unlink()


def empty_the_manifest(path: Path) -> None:
    (path / MANIFEST).write_bytes(b"")


def plant_a_pickle(path: Path) -> None:
    (path / "rng_state.pth").write_bytes(pickle.dumps(print))


def plant_a_link(path: Path) -> None:
    (path / "optimizer.pt").unlink()
    (path / "optimizer.pt").symlink_to("/etc/passwd")


def rename_it(path: Path) -> None:
    path.rename(path.with_name("9"))


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        cut_short,
        lose_a_file,
        lose_the_manifest,
        empty_the_manifest,
        plant_a_pickle,
        plant_a_link,
        rename_it,
    ],
)
def test_a_damaged_one_is_passed_over_for_the_one_before_it_and_said_so(run, damage):
    save(run, 4)
    damage(save(run, 8))
    found, sentences = newest_sound(run)
    assert found is not None
    assert found.step == 4
    assert len(sentences) == 1
    assert "cannot be trusted" in sentences[0]


def test_without_a_sound_one_there_is_none(run):
    assert newest_sound(run) == (None, [])
    flip_a_bit(save(run, 1))
    assert newest_sound(run)[0] is None


def test_one_in_the_middle_of_a_batch_is_kept_for_its_score_but_not_gone_on_from(run):
    save(run, 2)
    save(run, 3, score=0.9, can_resume=False)
    found, sentences = newest_sound(run)
    assert found is not None
    assert (found.step, sentences) == (2, [])
    prune(run)
    assert steps(run) == [2, 3]


def test_the_newest_two_and_the_best_are_kept(run):
    for step, score in ((1, 0.2), (2, 0.8), (3, None), (4, 0.8), (5, 0.1)):
        save(run, step, score)
        prune(run)
    assert steps(run) == [2, 4, 5]
    assert best(published(run)).step == 2
    prune(run, newest_kept=0)
    assert steps(run) == [2]


def test_saving_a_step_again_replaces_it(run):
    save(run, 3)
    save(run, 3, score=0.5)
    assert verify(run.checkpoints_dir / "3").score == 0.5


def test_another_run_takes_a_sound_one_over_and_keeps_it_when_the_first_is_deleted(run, tmp_path):
    save(run, 4)
    flip_a_bit(save(run, 8))
    new = create_run_dir(tmp_path, uuid4(), SPEC, Accepted(order=2, at=2.5))
    (sentence,) = checkpoints.take_over(run, new)
    assert "step 8" in sentence
    checkpoints.forget_later(run, 0)
    assert verify(new.checkpoints_dir / "4").step == 4
    assert not new.trainer_dir.exists() or not list(new.trainer_dir.iterdir())


def test_steps_that_will_be_trained_again_are_forgotten(run):
    for step in (2, 4, 6):
        save(run, step)
    checkpoints.forget_later(run, 4)
    assert steps(run) == [2, 4]


def test_a_folder_of_another_name_is_no_checkpoint(run):
    save(run, 1)
    (run.checkpoints_dir / "notes").mkdir()
    assert steps(run) == [1]
    with pytest.raises(Unsound, match="no manifest"):
        verify(run.checkpoints_dir / "notes")


def killed_at(run: RunDir, point: int) -> bool:
    """Publishes in a process that dies by SIGKILL before its nth open, rename or removal; False: it lived."""
    staged(run, 3)
    if child := os.fork():
        return os.waitpid(child, 0)[1] != 0
    count = 0

    def count_calls(audited: str, given: tuple) -> None:
        nonlocal count
        if audited in CHANGES and str(run.path) in str(given[0]):
            count += 1
            if count == point:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count_calls)
    publish(run, run.trainer_dir / "checkpoint-3", 3)
    prune(run, newest_kept=1)
    os._exit(0)


CHANGES = ("open", "os.rename", "os.mkdir", "shutil.rmtree", "os.remove", "os.rmdir")


def test_a_kill_at_any_point_of_publishing_leaves_a_sound_one(tmp_path):
    found_steps = set()
    for point in range(1, 100):
        run = create_run_dir(tmp_path, uuid4(), SPEC, Accepted(order=1, at=2.5))
        save(run, 1)
        save(run, 2)
        was_killed = killed_at(run, point)
        checkpoints.sweep(run)
        found, sentences = newest_sound(run)
        assert found is not None, point
        assert sentences == [], point
        found_steps.add(found.step)
        if not was_killed:
            break
    assert not was_killed
    assert point > 8
    assert found_steps == {2, 3}
