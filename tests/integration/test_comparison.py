"""What the loop is compared with: trees on the same columns, that never see a label before its time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from threadpoolctl import threadpool_limits

from heliostat import metrics
from jobs._comparison import MAX_CATEGORIES, Trees, known_at, retrained_monthly
from tests.toy_lake import rows_of
from tests.toy_quick import workload

APRIL, MAY, JUNE = (datetime(2024, month, 1, tzinfo=UTC) for month in (4, 5, 6))
ALL = rows_of(since=None, until=JUNE)
LABELLED = ALL.filter(pc.is_valid(ALL["label"]))
ASKED = LABELLED.filter(pc.greater_equal(LABELLED["event_at"], pa.scalar(APRIL, LABELLED["event_at"].type)))


def monthly(history, asked=ASKED):
    return retrained_monthly(history, asked, workload.columns, seed=0)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """On so few rows, threads that wait for each other cost more than they do."""
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(scope="module")
def honest(one_thread):
    return monthly(LABELLED)


def in_month(rows, month):
    return np.array([at.month == month for at in rows["event_at"].to_pylist()])


def replaced(rows, name, values):
    return rows.set_column(rows.column_names.index(name), name, pa.chunked_array([values]))


def poisoned(rows, is_poisoned):
    """Rows whose label is turned around where it says so."""
    labels = rows["label"].to_numpy()
    return replaced(rows, "label", pa.array(np.where(is_poisoned, 1 - labels, labels)))


def at_or_after(rows, name, moment):
    return np.array([at >= moment for at in rows[name].to_pylist()])


def test_a_label_that_became_known_in_a_month_changes_no_answer_of_that_month(honest):
    later = at_or_after(LABELLED, "label_known_at", APRIL)
    before = np.array([at < APRIL for at in LABELLED["event_at"].to_pylist()])
    assert (later & before).sum() > 10  # rows of March whose label came in April: the ones to be tempted by
    answers = monthly(poisoned(LABELLED, later))
    april = in_month(ASKED, 4)
    assert np.array_equal(answers[april], honest[april])
    assert not np.array_equal(answers[~april], honest[~april])  # in May it is known, and counts


def test_a_label_that_came_early_does_not_count_before_its_row_is_due(honest):
    early = at_or_after(LABELLED, "due_at", APRIL) & ~at_or_after(LABELLED, "label_known_at", APRIL)
    assert early.sum() > 10
    april = in_month(ASKED, 4)
    assert np.array_equal(monthly(poisoned(LABELLED, early))[april], honest[april])


def test_a_label_that_came_after_its_row_was_due_does_not_count_before_it_came():
    march = in_month(LABELLED, 3)
    shifts = np.where(march, 30 * 86_400_000_000, 0).astype("timedelta64[us]")
    known_at_later = pc.add(LABELLED["label_known_at"].combine_chunks(), pa.array(shifts))
    late = replaced(LABELLED, "label_known_at", known_at_later)
    tempting = march & ~at_or_after(late, "due_at", APRIL) & at_or_after(late, "label_known_at", APRIL)
    assert tempting.sum() > 100
    april = in_month(ASKED, 4)
    assert np.array_equal(monthly(poisoned(late, tempting))[april], monthly(late)[april])


def test_what_was_known_before_the_month_does_count(honest):
    known = ~at_or_after(LABELLED, "label_known_at", APRIL)
    assert not np.array_equal(monthly(poisoned(LABELLED, known)), honest)


def test_known_means_before_the_instant_and_not_at_it():
    row = LABELLED.slice(0, 1)
    for name in ("due_at", "label_known_at"):
        both = replaced(row, "due_at", pa.array([APRIL], row["due_at"].type))
        both = replaced(both, "label_known_at", pa.array([APRIL], row["due_at"].type))
        assert known_at(both, APRIL + timedelta(microseconds=1)).num_rows == 1
        assert known_at(both, APRIL).num_rows == 0
        never = replaced(both, name, pa.nulls(1, row["due_at"].type))
        assert known_at(never, JUNE).num_rows == 0


def test_the_order_of_the_asked_rows_does_not_matter(honest):
    order = np.random.default_rng(1).permutation(ASKED.num_rows)
    assert np.array_equal(monthly(LABELLED, ASKED.take(order)), honest[order])


def test_trees_learn_and_say_the_same_again():
    history = known_at(LABELLED, APRIL)
    columns = workload.columns
    first, second = (Trees.fit(history, columns, seed=0).answers(history, columns) for _ in range(2))
    assert np.array_equal(first, second)
    labels = history["label"].to_numpy()
    constant = np.full(len(labels), labels.mean())
    assert metrics.log_loss(labels, first) < metrics.log_loss(labels, constant) - 0.05


def test_trees_take_more_categories_than_they_can_hold():
    num_rows = MAX_CATEGORIES * 3
    rows = LABELLED.slice(0, num_rows)
    many = replaced(rows, "site", pa.array([f"site-{n % (MAX_CATEGORIES + 40):03d}" for n in range(rows.num_rows)]))
    columns = [replace(column) for column in workload.columns]
    answers = Trees.fit(many, columns, seed=0).answers(rows, columns)
    assert ((answers > 0) & (answers < 1)).all()
