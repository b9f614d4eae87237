"""Probes of a micro model, from rows on disk to the report."""

import os
import signal
import time

import pytest

from app.protocol import Length, ProbeRecipe, Score, StringCheck
from tests.engine.conftest import NAMES_THE_COLOUR, SAYS_E, write_rows

pytestmark = pytest.mark.engine

ANY_LENGTH = Length(name="any", high=1000)


def probe_recipe(**changes: object) -> ProbeRecipe:
    return ProbeRecipe(
        **{"prompts": 6, "samples": 4, "max_completion_length": 8, "samples_shown": 5} | changes
    )


def report_of(ended):
    (event,) = ended.happenings("probe")
    return event.report


@pytest.fixture(scope="module")
def probed(engines, micro_model, prompts):
    return engines.run(probe_recipe(), micro_model, prompts, SAYS_E)


def test_a_probe_succeeds_with_as_many_steps_as_prompts_and_leaves_no_model(probed):
    assert (probed.end.state.value, probed.end.steps_done, probed.end.total_steps) == ("succeeded", 6, 6)
    assert probed.states == ["starting", "starting", "starting", "evaluating"]
    assert not probed.dir.model_dir.exists()
    assert probed.exit_status == 0


def test_its_progress_counts_answers_and_then_grades(probed):
    told = [(each.phase, each.done, each.total) for each in probed.happenings("progress")]
    assert told[-1] == ("grading", 24, 24)
    assert ("answering", 24, 24) in told


def test_the_report_is_about_every_answer(probed):
    report = report_of(probed)
    assert (len(report.prompts), report.samples, report.passed.n) == (6, 4, 24)
    assert all(len(each.scores) == len(each.tokens) == 4 for each in report.prompts)
    assert all(1 <= each.distinct <= 4 for each in report.prompts)
    right = sum(score == 1 for each in report.prompts for score in each.scores)
    assert (report.passed.right, report.mean) == (right, pytest.approx(right / 24))
    assert report.clipped == sum(each.clipped for each in report.prompts) / 24
    assert report.lengths.longest <= 8
    assert 0 < report.grader_seconds < report.seconds


def test_the_figures_follow_from_the_answers(probed):
    report = report_of(probed)
    assert list(report.pass_at) == [1, 2, 4]
    assert report.pass_at[1] == pytest.approx(report.passed.value)
    assert [(each.group, each.is_measured) for each in report.dead] == [
        (2, True),
        (4, True),
        (8, False),
        (16, False),
    ]
    assert report.format_valid == report.passed.value, "without a reference the pattern is all there is"


def test_the_samples_to_read_are_of_different_prompts_first(probed):
    shown = report_of(probed).shown
    assert len({each.item for each in shown}) == 5
    assert all(isinstance(each.outcome, Score) for each in shown)


def test_prompts_without_an_answer_have_no_demonstrations(probed):
    report = report_of(probed)
    assert (report.demonstrations, report.difference) == (None, None)


def test_the_same_seed_draws_the_same_prompts_and_answers(probed, engines, micro_model, prompts):
    again = report_of(engines.run(probe_recipe(), micro_model, prompts, SAYS_E))
    other = report_of(engines.run(probe_recipe(), micro_model, prompts, SAYS_E, seed=1))
    assert again.prompts == report_of(probed).prompts
    assert [each.row for each in other.prompts] != [each.row for each in again.prompts]


def test_demonstrations_are_scored_by_the_same_grader(engines, micro_model, demonstrations):
    report = report_of(engines.run(probe_recipe(), micro_model, demonstrations, NAMES_THE_COLOUR))
    assert (report.demonstrations.passed.right, report.demonstrations.passed.n) == (6, 6)
    assert report.demonstrations.mean == 1.0
    assert report.difference.is_paired
    assert report.difference.value == pytest.approx(1 - report.mean)
    assert report.difference.low <= report.difference.value <= report.difference.high


def test_of_a_mixed_file_the_prompts_are_asked_and_the_demonstrations_scored(engines, micro_model, tmp_path):
    asked = [{"messages": [{"role": "user", "content": f"ask {n}"}], "colour": "red"} for n in range(20)]
    shown = [
        {
            "messages": [
                {"role": "user", "content": f"show {n}"},
                {"role": "assistant", "content": "red" if n % 2 else "green"},
            ],
            "colour": "red",
        }
        for n in range(20)
    ]
    rows = write_rows(tmp_path / "mixed.jsonl", asked + shown)
    report = report_of(engines.run(probe_recipe(), micro_model, rows, NAMES_THE_COLOUR))
    assert all(each.prompt.startswith("ask") for each in report.prompts)
    assert not report.difference.is_paired
    assert 0 < report.demonstrations.mean < 1


def test_fewer_rows_than_asked_for_are_all_probed(engines, micro_model, prompts):
    ended = engines.run(probe_recipe(prompts=500, samples=2), micro_model, prompts, ANY_LENGTH)
    report = report_of(ended)
    assert ended.end.total_steps == len(report.prompts) <= 20
    assert report.format_valid is None


def test_errors_of_the_grader_are_never_wrong_answers(engines, micro_model, tmp_path):
    rows = write_rows(
        tmp_path / "some.jsonl",
        [
            {
                "messages": [{"role": "user", "content": f"ask {n}"}],
                "colour": {"name": "red"} if n % 2 else {"word": "red"},
            }
            for n in range(40)
        ],
    )
    named = StringCheck(name="named", reference="{{ item.colour.name }}", operation="ne")
    ended = engines.run(probe_recipe(prompts=12), micro_model, rows, named)
    assert ended.end.state.value == "succeeded", ended.end.reason
    report = report_of(ended)
    failed = sum(None in each.scores for each in report.prompts)
    assert 0 < failed < 12
    assert (report.errors, report.passed.n) == (4 * failed, 4 * (12 - failed))
    assert report.passed.value == 1.0
    assert "item.colour.name" in report.first_error


def test_a_grader_that_scores_nothing_ends_the_probe_with_its_reason(engines, micro_model, prompts):
    grader = StringCheck(name="deep", reference="{{ item.colour.shade }}")
    ended = engines.run(probe_recipe(), micro_model, prompts, grader)
    assert ended.end.state.value == "failed"
    assert ended.end.reason.startswith("The grader failed on every answer: the row has no")
    assert ended.happenings("probe") == []


def test_a_cancelled_probe_ends_between_two_tokens_and_cannot_be_paused(engines, micro_model, prompts):
    run_dir = engines.prepare(probe_recipe(max_completion_length=100_000), micro_model, prompts, SAYS_E)
    run_dir.request_pause()
    process = engines.start(run_dir)
    while "evaluating" not in (run_dir.events_file.read_text() if run_dir.events_file.exists() else ""):
        assert process.poll() is None, "a wish to pause is not heard"
        time.sleep(0.02)
    run_dir.request_cancel()
    os.kill(process.pid, signal.SIGTERM)
    ended = engines.wait(run_dir, process)
    assert ended.end.state.value == "cancelled"
    assert ended.happenings("probe") == []
