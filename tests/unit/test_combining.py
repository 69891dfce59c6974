"""One answer out of several, and what of it is written down."""

import json

import pytest

from heliostat import Category, Classes, Ensemble, Number, Quantity, Vector
from heliostat.serving import combining
from heliostat.serving.combining import Reply, part
from heliostat.serving.problem import UnavailableError
from heliostat.tasks import BINARY, task_of

GONE = Reply(missing="it is not deployed")


def reply(*probabilities, version=3, reason=None):
    ids = [f"id-{row}" for row in range(len(probabilities))]
    versions = [version] * len(probabilities)
    return Reply(answers=list(probabilities), versions=versions, ids=ids, degraded_reason=reason)


def whole(name, given, *, num_rows, when_missing="leave out"):
    return part(name, given, rows=range(num_rows), num_rows=num_rows, when_missing=when_missing)


def test_an_ensemble_is_the_weighted_mean_of_those_that_answered():
    ensemble = Ensemble(weights={"a": 2.0, "b": 1.0}, own=1.0)
    parts = [whole("a", reply(0.5, 1.0), num_rows=2), whole("b", reply(0.9, 0.1), num_rows=2)]
    assert combining.weighted([0.1, 0.1], parts, ensemble) == pytest.approx([(0.1 + 1.0 + 0.9) / 4, 2.2 / 4])
    without = [parts[0], whole("b", GONE, num_rows=2)]
    assert combining.weighted([0.1, 0.1], without, ensemble) == pytest.approx([1.1 / 3, 2.1 / 3])


def test_who_is_missing_is_left_out_replaced_or_makes_the_request_fail():
    assert whole("a", GONE, num_rows=2).answers == [None, None]
    assert whole("a", GONE, num_rows=2, when_missing=0.25).answers == [0.25, 0.25]
    with pytest.raises(UnavailableError, match="'a', whose answer is needed, gave none: it is not deployed"):
        whole("a", GONE, num_rows=2, when_missing="fail")


def test_what_is_not_well_is_said_for_every_workload():
    parts = [
        whole("a", GONE, num_rows=1, when_missing=0.5),
        whole("b", reply(0.5), num_rows=1),
        whole("c", reply(0.5, reason="version 2 rests; version 1 answered"), num_rows=1),
    ]
    assert combining.degraded_reason(parts) == (
        "a gave no answer (it is not deployed); 0.5 stands in; c: version 2 rests; version 1 answered"
    )
    assert combining.degraded_reason(parts[1:2]) is None


def test_a_cascade_asks_for_unsure_rows_only_and_keeps_the_others():
    before = [0.95, 0.5, 0.05, 0.7]
    rows = combining.unsure(before, 0.9)
    assert rows == [1, 3]
    later = part("big", reply(0.8, 0.2), rows=rows, num_rows=4, when_missing="leave out")
    assert combining.overruled(before, later) == [0.95, 0.8, 0.05, 0.2]


def test_the_log_says_who_took_part_in_which_row():
    later = part("big", reply(0.8), rows=[1], num_rows=2, when_missing="leave out")
    first, second = map(json.loads, combining.answered_with([0.95, 0.5], [later]))
    assert first == {"own": 0.95, "others": {}}
    assert second == {"own": 0.5, "others": {"big": {"probability": 0.8, "version": 3, "id": "id-0"}}}


MINUTES = task_of(Quantity("delay", low=0, unit="min"))
CAUSE = task_of(Classes("cause", values=("none", "heat", "cold")))
LEVEL = task_of(Classes("level", values=(1, 2, 3)))


def given(task, *answers):
    versions, ids = [3] * len(answers), [f"id-{row}" for row in range(len(answers))]
    return Reply(answers=list(answers), versions=versions, ids=ids, task=task)


def vote(name, reply, task, *, when_missing="leave out"):
    reply = combining.as_votes(reply, task)
    return part(name, reply, rows=range(1), num_rows=1, when_missing=when_missing, task=task)


def test_classes_are_averaged_class_by_class():
    votes = [vote("a", given(CAUSE, [0.0, 1.0, 0.0]), CAUSE)]
    (mean,) = combining.weighted([[0.6, 0.2, 0.2]], votes, Ensemble(weights={"a": 3.0}))
    assert mean == pytest.approx([0.15, 0.8, 0.05])


def test_a_mean_of_quantities_is_that_of_values_of_both_ends_and_of_deviations():
    votes = [vote("a", given(MINUTES, [30.0, 20.0, 50.0, 8.0]), MINUTES)]
    (mean,) = combining.weighted([[10.0, 0.0, 20.0, 4.0]], votes, Ensemble(weights={"a": 1.0}))
    assert mean == [20.0, 10.0, 35.0, 6.0]


def test_a_quantity_that_stands_in_has_no_interval_and_so_the_mean_has_none():
    votes = [vote("a", GONE, MINUTES, when_missing=30.0)]
    (mean,) = combining.weighted([[10.0, 0.0, 20.0, 4.0]], votes, Ensemble(weights={"a": 1.0}))
    assert mean == pytest.approx([20.0, float("nan"), float("nan"), float("nan")], nan_ok=True)


def test_answers_of_another_kind_are_no_votes():
    hours = task_of(Quantity("delay", low=0, unit="h"))
    narrow = task_of(Quantity("delay", low=0, unit="min", coverage=0.5))
    for reply, task in (
        (given(MINUTES, [1.0] * 4), narrow),
        (given(MINUTES, [1.0] * 4), hours),
        (given(BINARY, 0.5), CAUSE),
        (given(LEVEL, [1, 0, 0]), CAUSE),
    ):
        left_out = vote("a", reply, task)
        assert left_out.answers == [None]
        assert "cannot be counted beside" in left_out.degraded_reason


def test_a_cascade_of_classes_asks_on_where_no_class_is_likely_enough():
    assert combining.unsure([[0.5, 0.3, 0.2], [0.4, 0.35, 0.25]], 0.45, CAUSE) == [1]


def test_the_log_says_what_a_quantity_and_classes_were():
    votes = [vote("a", given(CAUSE, [0.0, 1.0, 0.0]), CAUSE), vote("b", GONE, CAUSE, when_missing="cold")]
    (said,) = map(json.loads, combining.answered_with([[0.6, 0.2, 0.2]], votes, CAUSE))
    assert said["own"] == {"class": "none", "probabilities": [0.6, 0.2, 0.2]}
    assert said["others"]["a"] == {"class": "heat", "probabilities": [0.0, 1.0, 0.0], "version": 3, "id": "id-0"}
    assert said["others"]["b"] == {"stands_in": "cold", "version": None, "id": None}
    (said,) = map(json.loads, combining.answered_with([[1.0, float("nan"), float("nan"), float("nan")]], [], MINUTES))
    assert said["own"] == {"value": 1.0, "low": None, "high": None, "deviation": None}


@pytest.mark.parametrize(
    ("reply", "column", "cells"),
    [
        (given(BINARY, 0.25, 0.75), Number("x", low=0, high=1, optional=True), [0.25, 0.75]),
        (given(MINUTES, [3.0, 1, 5, 1], [30.0, 1, 50, 1]), Number("x", low=0, high=20, optional=True), [3.0, None]),
        (given(CAUSE, [0.1, 0.6, 0.3], [0.8, 0.1, 0.1]), Category("x", optional=True), ["heat", "none"]),
        (given(LEVEL, [0.1, 0.6, 0.3]), Category("x", closed=("1", "2"), optional=True), ["2"]),
        (given(CAUSE, [0, 0, 1]), Category("x", closed=("heat",), optional=True), [None]),
        (given(CAUSE, [0.25, 0.5, 0.25]), Vector("x", 3, optional=True), [[0.25, 0.5, 0.25]]),
    ],
)
def test_an_answer_becomes_a_value_of_the_column_that_it_fills(reply, column, cells):
    filled = part(
        "a",
        combining.as_cells(reply, column),
        rows=range(len(cells)),
        num_rows=len(cells),
        when_missing="leave out",
        task=None,
    )
    assert filled.answers == cells
    assert (filled.degraded_reason is None) == (None not in cells)


def test_what_a_column_does_not_allow_counts_as_no_answer():
    late = combining.as_cells(
        given(MINUTES, [3.0, 1, 5, 1], [30.0, 1, 50, 1]), Number("x", low=0, high=20, optional=True)
    )
    filled = part("a", late, rows=range(2), num_rows=2, when_missing=5.0, task=None)
    assert filled.answers == [3.0, 5.0]
    assert filled.degraded_reason.startswith("a gave no answer for 1 rows (column 'x' must lie between")
    with pytest.raises(UnavailableError, match="whose answer is needed"):
        part("a", late, rows=range(2), num_rows=2, when_missing="fail", task=None)


@pytest.mark.parametrize(
    ("reply", "column"),
    [
        (given(BINARY, 0.5), Number("x", low=0, high=0.5, optional=True)),
        (given(BINARY, 0.5), Category("x", optional=True)),
        (given(MINUTES, [1.0] * 4), Category("x", optional=True)),
        (given(CAUSE, [1, 0, 0]), Number("x", low=0, high=1, optional=True)),
        (given(CAUSE, [1, 0, 0]), Vector("x", 2, optional=True)),
    ],
)
def test_a_column_that_cannot_hold_the_kind_of_answer_gets_none_and_says_what_could(reply, column):
    assert "declare" in combining.as_cells(reply, column).missing
