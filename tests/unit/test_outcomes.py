"""Labels joined to predictions: late, twice, contradictory, by key, unknown, never."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from heliostat.ids import prediction_id
from heliostat.metrics import log_loss
from heliostat.watch.cohorts import score_cohort
from heliostat.watch.outcomes import cohort, join, matured

INSTANT = pa.timestamp("us", tz="UTC")
START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PREDICTIONS = pa.schema(
    [
        ("id", pa.string()),
        ("key", pa.string()),
        ("event_at", INSTANT),
        ("due_at", INSTANT),
        ("version", pa.int32()),
        ("degraded", pa.bool_()),
        ("probability", pa.float64()),
    ]
)
LABELS = pa.schema(
    [
        ("id", pa.string()),
        ("key", pa.string()),
        ("value", pa.float64()),
        ("known_at", INSTANT),
        ("received_at", INSTANT),
    ]
)
FAR = START + 1000 * DAY


def prediction(key: str, at: datetime = START, *, due: datetime | None = START + 6 * HOUR, version: int = 1) -> dict:
    return {
        "id": prediction_id(f"{key}@{at.isoformat()}", 0, event_at=at),
        "key": key,
        "event_at": at,
        "due_at": due,
        "version": version,
        "degraded": False,
        "probability": 0.25,
    }


def label(of: dict | str, value: float, *, at: datetime, received: datetime | None = None) -> dict:
    named = {"id": None, "key": of} if isinstance(of, str) else {"id": of["id"], "key": None}
    return {**named, "value": value, "known_at": at, "received_at": received or at}


def joined(predictions: Sequence[dict], labels: Sequence[dict], *, known_by: datetime = FAR):
    return join(
        pa.Table.from_pylist(list(predictions), PREDICTIONS),
        pa.Table.from_pylist(list(labels), LABELS),
        known_by=known_by,
    )


def values(predictions: Sequence[dict], labels: Sequence[dict], *, known_by: datetime = FAR) -> dict[str, float | None]:
    table = joined(predictions, labels, known_by=known_by).table
    return dict(zip(table["key"].to_pylist(), table["label"].to_pylist(), strict=True))


def test_a_label_finds_its_prediction_and_the_rest_stay_unlabelled():
    a, b = prediction("a"), prediction("b")
    assert values([a, b], [label(a, 1, at=START + HOUR)]) == {"a": 1.0, "b": None}


def test_a_repeated_label_counts_once():
    a = prediction("a")
    result = joined([a, prediction("b")], [label(a, 1, at=START + HOUR)] * 3)
    assert result.table.num_rows == 2
    assert result.num_contradicted == 0


def test_a_repeated_prediction_counts_once():
    a = prediction("a")
    assert joined([a, a], [label(a, 1, at=START + HOUR)]).table["label"].to_pylist() == [1.0]


def test_the_latest_of_contradictory_labels_wins_in_any_order_of_arrival():
    a = prediction("a")
    labels = [label(a, value, at=START + hour * HOUR) for value, hour in ((1, 1), (0, 2), (1, 3), (0, 9))]
    for order in itertools.permutations(labels):
        result = joined([a], order)
        assert result.table["label"].to_pylist() == [0.0]
        assert result.num_contradicted == 1


def test_of_two_labels_of_one_instant_the_one_received_last_wins():
    a = prediction("a")
    labels = [
        label(a, 0, at=START + HOUR, received=START + 3 * HOUR),
        label(a, 1, at=START + HOUR, received=START + 2 * HOUR),
    ]
    assert values([a], labels) == values([a], labels[::-1]) == {"a": 0.0}


def test_what_became_known_later_is_not_seen():
    a = prediction("a")
    labels = [label(a, 1, at=START + HOUR), label(a, 0, at=START + 5 * HOUR)]
    assert values([a], labels, known_by=START) == {"a": None}
    assert values([a], labels, known_by=START + HOUR) == {"a": 1.0}
    assert values([a], labels, known_by=START + 5 * HOUR) == {"a": 0.0}


def test_a_label_by_key_means_the_latest_prediction_at_or_before_it():
    early, late, other = prediction("a", START), prediction("a", START + DAY), prediction("b", START)
    table = joined([early, late, other], [label("a", 1, at=START + DAY)]).table
    assert {row["id"]: row["label"] for row in table.to_pylist()} == {
        late["id"]: 1,
        early["id"]: None,
        other["id"]: None,
    }
    table = joined([early, late], [label("a", 1, at=START + DAY - timedelta(microseconds=1))]).table
    assert {row["id"]: row["label"] for row in table.to_pylist()} == {early["id"]: 1.0, late["id"]: None}


def test_labels_that_name_nothing_known_are_counted_and_left_out():
    a = prediction("a", START + DAY)
    labels = [
        label("a", 1, at=START),  # before the key's first prediction
        label("z", 1, at=FAR),
        label(prediction("y"), 1, at=START),
        {"id": None, "key": None, "value": 1.0, "known_at": START, "received_at": START},
    ]
    result = joined([a], labels)
    assert result.num_unknown_labels == 4
    assert result.table["label"].to_pylist() == [None]


def test_labels_by_id_and_by_key_compete_by_time():
    a = prediction("a")
    assert values([a], [label(a, 1, at=START + HOUR), label("a", 0, at=START + 2 * HOUR)]) == {"a": 0.0}
    assert values([a], [label(a, 1, at=START + 3 * HOUR), label("a", 0, at=START + 2 * HOUR)]) == {"a": 1.0}


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_of_two_labels_of_one_instant_the_one_received_later_counts_and_one_never_received_last():
    a, at = prediction("a"), START + HOUR
    never = {**label(a, 1, at=at), "received_at": None}
    assert values([a], [label(a, 0, at=at), never]) == {"a": 0.0}
    assert values([a], [label(a, 0, at=at), label(a, 1, at=at, received=at + HOUR)]) == {"a": 1.0}


def test_no_predictions_and_no_labels_are_no_rows():
    assert joined([], []).table.num_rows == 0
    assert joined([], [label("a", 1, at=START)]).num_unknown_labels == 1
    assert values([prediction("a")], []) == {"a": None}


def by_loops(predictions: Sequence[dict], labels: Sequence[dict], known_by: datetime) -> dict[str, float | None]:
    """The same rules, said slowly."""
    best: dict[str, tuple] = {}
    for one in labels:
        if one["known_at"] > known_by:
            continue
        if one["id"] is not None:
            target = one["id"] if any(p["id"] == one["id"] for p in predictions) else None
        else:
            before = [p for p in predictions if p["key"] == one["key"] and p["event_at"] <= one["known_at"]]
            target = max(before, key=lambda p: p["event_at"])["id"] if before else None
        if target is not None:
            rank = (one["known_at"], one["received_at"], one["value"])
            best[target] = max(best.get(target, rank), rank)
    return {p["id"]: best[p["id"]][2] if p["id"] in best else None for p in predictions}


@pytest.mark.parametrize("seed", range(30))
def test_the_join_agrees_with_plain_loops_whatever_the_order(seed):
    random = np.random.default_rng(seed)
    hours = lambda: int(random.integers(0, 30))  # noqa: E731
    places = {(f"k{random.integers(0, 8)}", hours()) for _ in range(40)}
    predictions = [prediction(key, START + hour * HOUR) for key, hour in sorted(places)]
    labels = []
    for _ in range(80):
        target = predictions[random.integers(0, len(predictions))]
        of = target if random.random() < 0.5 else f"k{random.integers(0, 10)}"
        at, received = START + hours() * HOUR, START + hours() * HOUR
        labels.append(label(of, float(random.integers(0, 2)), at=at, received=received))
    known_by = START + 20 * HOUR
    random.shuffle(labels)
    random.shuffle(predictions)
    table = joined(predictions, labels, known_by=known_by).table
    found = dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))
    assert found == by_loops(predictions, labels, known_by)


def test_a_row_matures_when_its_label_is_due_labelled_or_not():
    a, b = prediction("a"), prediction("b", due=START + 2 * DAY)
    table = joined([a, b], [label(b, 1, at=START + HOUR)]).table
    assert matured(table, START + 6 * HOUR)["key"].to_pylist() == ["a"]
    assert matured(table, START + 6 * HOUR - timedelta(microseconds=1)).num_rows == 0
    assert sorted(matured(table, START + 2 * DAY)["key"].to_pylist()) == ["a", "b"]


def test_a_row_without_a_due_time_matures_with_its_first_label_and_stays_in_that_cohort():
    a, b = prediction("a", due=None), prediction("b", due=None)
    labels = [label(a, 1, at=START + HOUR), label(a, 0, at=START + 3 * DAY)]
    table = joined([a, b], labels).table
    assert matured(table, FAR)["key"].to_pylist() == ["a"]
    assert cohort(table, since=START, until=START + DAY)["key"].to_pylist() == ["a"]
    assert cohort(table, since=START + 3 * DAY, until=FAR).num_rows == 0


@pytest.mark.parametrize("seed", range(5))
def test_every_matured_row_is_in_exactly_one_cohort(seed):
    random = np.random.default_rng(seed)
    rows = [prediction(f"k{n}", due=START + int(random.integers(0, 10 * 24)) * HOUR) for n in range(200)]
    table = joined(rows, []).table
    days = [cohort(table, since=START + n * DAY, until=START + (n + 1) * DAY) for n in range(10)]
    ids = [one for day in days for one in day["id"].to_pylist()]
    assert sorted(ids) == sorted(row["id"] for row in rows)


def test_a_cohort_is_scored_by_version_on_labelled_rows_only():
    answered = [prediction("a"), prediction("b"), prediction("c", version=2)]
    table = joined(answered, [label("a", 1, at=START + HOUR), label("c", 0, at=START + HOUR)]).table
    found = score_cohort(table, since=START, until=START + DAY, metrics=[log_loss]).score_by_version
    assert (found[1].num_predictions, found[1].num_labelled, found[1].coverage) == (2, 1, 0.5)
    assert found[1].score_by_metric["log_loss"] == pytest.approx(-np.log(0.25))
    assert found[2].score_by_metric["log_loss"] == pytest.approx(-np.log(0.75))


def test_degraded_answers_are_not_the_versions_fault():
    broken = prediction("b") | {"degraded": True, "probability": 0.0}
    table = joined([prediction("a"), broken], [label("a", 1, at=START), label("b", 1, at=START)]).table
    found = score_cohort(table, since=START, until=START + DAY, metrics=[log_loss]).score_by_version
    assert found[1].num_predictions == 1


def test_an_early_label_does_not_bring_its_row_forward():
    """Outcomes known early differ from the rest: here every early one is a 1, and half of all are."""
    ones = [prediction(f"one{n}", due=START + 30 * DAY) for n in range(50)]
    zeros = [prediction(f"zero{n}", due=START + 30 * DAY) for n in range(50)]
    early = [label(row, 1, at=START + DAY) for row in ones]
    late = [label(row, 0, at=START + 29 * DAY) for row in zeros]
    assert matured(joined([*ones, *zeros], early + late, known_by=START + 2 * DAY).table, START + 2 * DAY).num_rows == 0
    whole = matured(joined([*ones, *zeros], early + late, known_by=START + 30 * DAY).table, START + 30 * DAY)
    assert np.mean(whole["label"].to_pylist()) == 0.5
