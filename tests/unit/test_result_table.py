"""The stored result as people read it."""

import json

import pytest

from heliostat import metrics
from jobs._table import LABEL_BY_POLICY, render

SCORES = {
    policy: {metric.name: place + 0.5 for metric in metrics.ALL}
    for place, policy in enumerate(LABEL_BY_POLICY, start=1)
}
TURN = {
    "turn": 1,
    "reasons": ["site drifted", "loss worse"],
    "onset_at": "2024-04-01T00:00:00+00:00",
    "detected_at": "2024-04-05T00:00:00+00:00",
    "ended_at": "2024-04-12T00:00:00+00:00",
    "outcome": "promoted",
}
RESULT = {
    "workload": "toy",
    "made_at": "2024-06-01T12:00:00+00:00",
    "rows_with_label": 12345,
    "labels_used": 23456,
    "scores": SCORES,
    "differences": {
        "never": {"mean": -0.0123, "low": -0.02, "high": -0.001},
        "trees_monthly": {"mean": 0.0045, "low": -0.001, "high": 0.01},
    },
    "turns": [TURN],
    "replay": {
        "since": "2024-03-01T00:00:00+00:00",
        "until": "2024-06-01T00:00:00+00:00",
        "num_requests": 3000,
        "num_answered": 2999,
        "num_failed": 1,
        "num_labels": 4000,
    },
}


@pytest.fixture
def lines():
    return render(json.loads(json.dumps(RESULT))).splitlines()


def test_every_policy_has_its_line_with_every_score(lines):
    for place, title in enumerate(LABEL_BY_POLICY.values(), start=1):
        [line] = [line for line in lines if line.startswith(title)]
        assert line.split()[-len(metrics.ALL) :] == [f"{place + 0.5:.4f}"] * len(metrics.ALL)


def test_scores_stand_below_their_names(lines):
    head = next(line for line in lines if line.split() == [metric.name for metric in metrics.ALL])
    rows = [line for line in lines if line.startswith(tuple(LABEL_BY_POLICY.values()))]
    assert {len(line) for line in rows} == {len(head)}


def test_what_the_loop_is_worth_has_its_sign_and_its_interval(lines):
    [gain] = [line for line in lines if LABEL_BY_POLICY["never"] in line and "interval" in line]
    [loss] = [line for line in lines if LABEL_BY_POLICY["trees_monthly"] in line and "interval" in line]
    assert "-0.0123 (95% interval -0.0200 to -0.0010)" in gain
    assert "+0.0045 (95% interval -0.0010 to +0.0100)" in loss


def test_failures_are_shown(lines):
    assert lines[-1] == "requests: 3,000 sent, 2,999 answered, 1 failed; 4,000 labels sent"


def test_a_turn_is_one_line_with_its_days_and_reasons(lines):
    [line] = [line for line in lines if line.startswith("  turn 1")]
    assert "onset 2024-04-01 → detected 2024-04-05 → promoted 2024-04-12" in line
    assert line.endswith("site drifted; loss worse")


def test_a_turn_without_a_day_is_shown_all_the_same():
    unfinished = {**TURN, "onset_at": None, "ended_at": None, "outcome": "failed"}
    assert "onset - → detected 2024-04-05 → failed -" in render({**RESULT, "turns": [unfinished]})


def test_a_replay_without_turns_is_shown():
    assert "turns: 0; labelled rows in the last fit: 23,456" in render({**RESULT, "turns": []})
