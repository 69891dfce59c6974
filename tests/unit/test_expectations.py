"""Classes and quantities: what a window's answers expect of themselves, and whether what was said came as often."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from heliostat import Number
from heliostat.tasks import task_of
from heliostat.watch.cohorts import score_cohort
from heliostat.watch.expectations import ExpectedTally
from heliostat.watch.measurements import measurements
from heliostat.watch.profile import Profile
from heliostat.watch.reliability import expected_calibration_error
from heliostat.watch.windows import Windows
from tests.unit.test_tasks import COLOURS, MINUTES, colours, minutes

START, DAY = datetime(2024, 3, 1, tzinfo=UTC), timedelta(days=1)
INSTANT = pa.timestamp("us", tz="UTC")
KINDS = [(COLOURS, colours), (MINUTES, minutes)]


def table(num_rows, *, version=1):
    return pa.table(
        {
            "x": np.linspace(0, 1, num_rows),
            "event_at": pa.array([START] * num_rows, INSTANT),
            "version": [version] * num_rows,
            "degraded": [False] * num_rows,
        }
    )


def closed(label, answers, *, version=1, num_parts=1):
    """The window of a version's answers, counted in parts with a restart after each."""
    task, columns = task_of(label), [Number("x", low=0, high=1)]
    profile = Profile.fit(table(len(answers)), columns, answers, task=task)
    windows = Windows(profile, version=1, span=DAY, task=task)
    for part in np.array_split(np.arange(len(answers)), num_parts):
        rows = answers[part]
        windows.add(table(len(part), version=version), task.output(rows), answers=rows)
        stored = json.loads(json.dumps(windows.to_json()))
        windows = Windows.from_json(stored, profile=profile, span=DAY, task=task)
    [window] = windows.close(START + DAY)
    return window


@pytest.mark.parametrize(("label", "sample"), KINDS, ids=["classes", "quantity"])
def test_honest_answers_know_their_scores_before_labels_come(label, sample):
    labels, answers = sample(20_000)
    task, window = task_of(label), closed(label, answers, num_parts=3)
    told = window.estimated_by_metric
    assert window.num_answered == 20_000
    assert told[task.loss.name] == pytest.approx(task.loss(labels, answers), rel=0.03)
    if task.kind == "classes":
        assert told["accuracy"] == pytest.approx((answers.argmax(axis=1) == labels).mean(), abs=0.01)
    names = {one.label_by_name["metric"] for one in exported(window) if one.name == "estimated_score"}
    assert names == set(told)


def exported(window):
    return measurements(champion=None, window=window, cohort=None, clock=START)


@pytest.mark.parametrize(("label", "sample"), KINDS, ids=["classes", "quantity"])
def test_answers_of_another_version_and_ones_that_expect_nothing_estimate_nothing(label, sample):
    _, answers = sample(100)
    assert closed(label, answers, version=2).estimated_by_metric == {}
    assert closed(label, np.full_like(answers, np.nan)).estimated_by_metric == {}
    assert ExpectedTally().scores(task_of(label)) == {}


@pytest.mark.parametrize(("label", "sample"), KINDS, ids=["classes", "quantity"])
def test_calibration_is_told_of_honest_answers_and_of_overconfident_ones(label, sample):
    too_sure = {"sharpness": 3.0} if sample is colours else {"error": 10.0}
    honest, sure = (error_of(label, *sample(20_000, **how)) for how in ({}, too_sure))
    assert honest < 0.02
    assert sure > 0.1


def error_of(label, labels, answers):
    task, num_rows = task_of(label), len(labels)
    joined = pa.table(
        {
            "matures_at": pa.array([START] * num_rows, INSTANT),
            "degraded": [False] * num_rows,
            "version": [1] * num_rows,
            "label": labels,
            **task.columns(answers),
        }
    )
    score = score_cohort(joined, since=START, until=START + DAY, task=task).score_by_version[1]
    assert sum(one.num_rows for one in score.reliability) == num_rows
    return expected_calibration_error(score.reliability)


def test_an_answer_without_an_interval_says_nothing_of_its_calibration():
    labels, answers = minutes(100)
    answers[:50, 1:] = np.nan
    task = task_of(MINUTES)
    joined = pa.table(
        {
            "matures_at": pa.array([START] * 100, INSTANT),
            "degraded": [False] * 100,
            "version": [1] * 100,
            "label": labels,
            **task.columns(answers),
        }
    )
    score = score_cohort(joined, since=START, until=START + DAY, task=task).score_by_version[1]
    assert sum(one.num_rows for one in score.reliability) == 50
