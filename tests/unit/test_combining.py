"""One answer out of several, and what of it is written down."""

import json

import pytest

from heliostat import Ensemble
from heliostat.serving import combining
from heliostat.serving.combining import Reply, part
from heliostat.serving.problem import UnavailableError

GONE = Reply(missing="it is not deployed")


def reply(*probabilities, version=3, reason=None):
    ids = [f"id-{row}" for row in range(len(probabilities))]
    versions = [version] * len(probabilities)
    return Reply(probabilities=list(probabilities), versions=versions, ids=ids, degraded_reason=reason)


def whole(name, given, *, num_rows, when_missing="leave out"):
    return part(name, given, rows=range(num_rows), num_rows=num_rows, when_missing=when_missing)


def test_an_ensemble_is_the_weighted_mean_of_those_that_answered():
    ensemble = Ensemble(weights={"a": 2.0, "b": 1.0}, own=1.0)
    parts = [whole("a", reply(0.5, 1.0), num_rows=2), whole("b", reply(0.9, 0.1), num_rows=2)]
    assert combining.weighted([0.1, 0.1], parts, ensemble) == pytest.approx([(0.1 + 1.0 + 0.9) / 4, 2.2 / 4])
    without = [parts[0], whole("b", GONE, num_rows=2)]
    assert combining.weighted([0.1, 0.1], without, ensemble) == pytest.approx([1.1 / 3, 2.1 / 3])


def test_who_is_missing_is_left_out_replaced_or_makes_the_request_fail():
    assert whole("a", GONE, num_rows=2).probabilities == [None, None]
    assert whole("a", GONE, num_rows=2, when_missing=0.25).probabilities == [0.25, 0.25]
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
