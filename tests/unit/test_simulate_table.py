from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from heliostat.errors import ContractError
from heliostat.simulate.table import Roles, prepare

NUM_ROWS = 1000
NOON = datetime(2020, 1, 1, 12)  # noqa: DTZ001 (times without a zone are one of the cases)


def _prepared(*, max_rows: int | None = None, roles: dict[str, str] | None = None, **columns: object):
    generator = np.random.default_rng(0)
    plain = {"x": generator.normal(size=NUM_ROWS), "y": generator.integers(0, 2, NUM_ROWS)}
    return prepare(pa.table({**plain, **columns}), Roles(label="y", **(roles or {})), first=0.3, max_rows=max_rows)


@pytest.mark.parametrize(
    ("values", "is_input"),
    [
        (pa.array([Decimal("1.50"), None] * 500, pa.decimal128(8, 2)), True),
        (pa.array([2**63] * NUM_ROWS, pa.uint64()), True),
        (pa.array([1.5, None] * 500, pa.float16()), True),
        (pa.array([f"id-{row}" for row in range(NUM_ROWS)]), True),
        (pa.array(["a", None] * 500, pa.large_string()), True),
        (pa.array(["a", None] * 500).dictionary_encode(), True),
        (pa.array([1, None] * 500).dictionary_encode(), True),
        (pa.array([True, None] * 500), True),
        (pa.nulls(NUM_ROWS, pa.float64()), True),
        (pa.nulls(NUM_ROWS), False),
        (pa.array([date(2020, 1, 1)] * NUM_ROWS), False),
        (pa.array([timedelta(1)] * NUM_ROWS), False),
        (pa.array([b"raw"] * NUM_ROWS), False),
        (pa.array([{"a": 1}] * NUM_ROWS), False),
        (pa.array([[1.0, 2.0]] * NUM_ROWS), False),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_every_kind_of_column_is_an_input_or_is_left_out_with_a_sentence(values, is_input):
    prepared = _prepared(z=values)
    assert prepared.stream.inputs.column_names == (["x", "z"] if is_input else ["x"])
    assert any("Left out as inputs: z" in remark for remark in prepared.remarks) != is_input


def test_inputs_keep_their_values_under_names_that_the_watching_needs_for_itself():
    prepared = _prepared(probability=np.arange(NUM_ROWS), event_at=np.arange(NUM_ROWS))
    assert prepared.stream.inputs.column_names == ["x", "probability (input)", "event_at (input)"]
    assert prepared.stream.inputs["probability (input)"].to_pylist() == list(range(NUM_ROWS))


@pytest.mark.parametrize(
    "values",
    [
        [NOON + timedelta(minutes=row) for row in range(NUM_ROWS)],
        [(NOON + timedelta(minutes=row)).replace(tzinfo=UTC) for row in range(NUM_ROWS)],
        [f"{NOON + timedelta(minutes=row):%Y-%m-%d %H:%M}" for row in range(NUM_ROWS)],
        [f"{NOON + timedelta(minutes=row):%Y-%m-%dT%H:%M:%SZ}" for row in range(NUM_ROWS)],
        [date(2020, 1, 1) + timedelta(days=row) for row in range(NUM_ROWS)],
        [float(row) for row in range(NUM_ROWS)],
        [Decimal(row) for row in range(NUM_ROWS)],
    ],
    ids=["naive", "utc", "text", "text with a zone", "dates", "numbers", "decimals"],
)
def test_rows_come_in_order_of_any_kind_of_time_and_ties_in_file_order(values):
    backwards = [values[NUM_ROWS - 1 - row // 2 * 2] for row in range(NUM_ROWS)]  # two rows an instant
    prepared = _prepared(at=backwards, x=np.arange(NUM_ROWS, dtype=float), roles={"event_time": "at"})
    assert prepared.stream.inputs["x"].to_pylist()[:4] == [998.0, 999.0, 996.0, 997.0]
    assert any("put in order of at" in remark for remark in prepared.remarks)


def test_a_zone_on_one_time_alone_is_said():
    instants = [NOON + timedelta(minutes=row) for row in range(NUM_ROWS)]
    zoned = pa.array(instants, pa.timestamp("us", tz="UTC"))
    prepared = _prepared(at=instants, told=zoned, roles={"event_time": "at", "label_time": "told"})
    assert any("has no time zone" in remark for remark in prepared.remarks)


def test_a_label_told_before_its_event_is_known_right_after_the_answer_and_that_is_said():
    at = np.arange(NUM_ROWS, dtype=float)
    prepared = _prepared(at=at, told=at - 300, roles={"event_time": "at", "label_time": "told"})
    assert (prepared.stream.known_step == np.arange(NUM_ROWS) // prepared.stream.step_rows + 1).all()
    assert any("1,000 labels were told before their event" in remark for remark in prepared.remarks)


def test_without_a_label_time_labels_count_as_known_when_due_and_that_is_said():
    at = np.arange(NUM_ROWS, dtype=float)
    prepared = _prepared(at=at, due=at + 100, roles={"event_time": "at", "due_time": "due"})
    assert (prepared.stream.known_step == prepared.stream.due_step).all()
    assert any("counts as known at its due" in remark for remark in prepared.remarks)
    assert not any("when a label is due" in remark for remark in prepared.remarks)


def test_a_label_without_a_time_is_scored_but_never_learned_from():
    at = np.arange(NUM_ROWS, dtype=float)
    told = pa.array([None if row == 3 else float(row) for row in range(NUM_ROWS)])
    prepared = _prepared(at=at, told=told, roles={"event_time": "at", "label_time": "told"})
    assert np.isfinite(prepared.stream.labels[3])
    assert 3 not in prepared.stream.usable(prepared.stream.num_steps)
    assert any("1 labels have no time" in remark for remark in prepared.remarks)


@pytest.mark.parametrize(
    "pair", [("no", "yes"), (False, True), (0, 1), (2, 7), (0.5, 1.5), (Decimal("1.0"), Decimal("2.0"))], ids=str
)
def test_labels_of_any_two_values_become_zero_and_one(pair):
    prepared = _prepared(y=[pair[row % 2] for row in range(NUM_ROWS)])
    assert prepared.stream.labels[:4].tolist() == [0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["mid", "low", "high", None], ("high", "low", "mid")),
        ([3, 1, 2, None], ("1", "2", "3")),
        ([3.0, 1.0, 2.0, float("nan")], ("1", "2", "3")),
        ([1.5, 2.5, 0.5, float("inf")], ("0.5", "1.5", "2.5")),
    ],
    ids=str,
)
def test_labels_of_more_values_are_classes_and_what_is_none_is_missing(values, names):
    stream = _prepared(y=values * (NUM_ROWS // 4)).stream
    assert (stream.task.kind, stream.task.label.values) == ("classes", names)
    assert [names[int(code)] for code in stream.labels[:3]] == [str(value).removesuffix(".0") for value in values[:3]]
    assert np.isnan(stream.labels[3])


@pytest.mark.parametrize(
    "values",
    [[1.5, None], [Decimal("1.5"), None], [7, None], [True, None], [2.5, float("inf")], [2.5, float("nan")]],
    ids=str,
)
def test_numbers_are_quantities_when_asked_for_and_what_is_not_finite_is_missing(values):
    y = [values[0] if row % 3 else type(values[0])(0) for row in range(NUM_ROWS - 1)] + values[1:]
    stream = _prepared(y=pa.array(y, pa.array(values).type), roles={"task": "regression"}).stream
    assert stream.task.kind == "quantity"
    assert stream.labels[1] == float(values[0])
    assert np.isnan(stream.labels[-1])


def test_a_long_table_with_many_classes_is_thinned_more_than_one_with_two():
    num_rows = 300_000
    x = np.zeros(num_rows)
    two, twenty = (
        prepare(pa.table({"x": x, "y": np.arange(num_rows) % kinds}), Roles(label="y"), first=0.2) for kinds in (2, 20)
    )
    assert two.stream.num_rows == num_rows
    assert twenty.stream.num_rows == 20_000


def test_a_repeated_key_is_said_and_each_row_is_played():
    prepared = _prepared(k=[row // 2 for row in range(NUM_ROWS)], roles={"key": "k"})
    assert prepared.stream.num_rows == NUM_ROWS
    assert "k" not in prepared.stream.inputs.column_names
    assert any("500 rows repeat the k" in remark for remark in prepared.remarks)


def test_the_first_part_grows_until_both_kinds_are_known_and_that_is_said():
    prepared = _prepared(y=[0] * 420 + [row % 2 for row in range(580)])
    assert prepared.stream.first_rows == 450
    assert any("first part was made longer (45%" in remark for remark in prepared.remarks)


def test_of_a_long_table_rows_are_played_evenly_over_its_time():
    prepared = _prepared(x=np.arange(NUM_ROWS, dtype=float), max_rows=500)
    x = prepared.stream.inputs["x"].to_numpy()
    assert len(x) == 500
    assert (np.diff(x) <= 3).all()
    assert any("500 of the 1,000 rows" in remark for remark in prepared.remarks)


@pytest.mark.parametrize(
    ("columns", "roles", "said"),
    [
        ({"y": pa.nulls(NUM_ROWS)}, {}, "no value at all"),
        ({"y": np.ones(NUM_ROWS)}, {}, "one value only"),
        ({"y": np.arange(NUM_ROWS) / 7}, {}, "1,000 different values .* try --task regression"),
        ({"y": [f"{row}" for row in range(NUM_ROWS)]}, {}, "join the rare ones"),
        ({"y": ["a", "b"] * 500}, {"task": "regression"}, "regression needs numbers"),
        ({"y": np.ones(NUM_ROWS)}, {"task": "regression"}, "one value only"),
        ({"y": pa.nulls(NUM_ROWS, pa.float64())}, {"task": "regression"}, "no value at all"),
        ({"due": np.zeros(NUM_ROWS)}, {"due_time": "due"}, "A due time needs an event time"),
        (
            {"at": [NOON] * NUM_ROWS, "due": np.zeros(NUM_ROWS)},
            {"event_time": "at", "due_time": "due"},
            "both must be instants",
        ),
        ({"y": [[1]] * NUM_ROWS}, {}, "must be text, boolean or number"),
        ({"at": pa.nulls(NUM_ROWS, pa.float64())}, {"event_time": "at"}, "No row has a at"),
        ({"at": ["soon"] * NUM_ROWS}, {"event_time": "at"}, "cannot be read as a time"),
        ({"k": [[1]] * NUM_ROWS}, {"key": "k"}, "one plain value"),
        ({"y": [0] * 990 + [1] * 10}, {}, "of 1 kinds"),
        (
            {"at": [NOON] * NUM_ROWS, "told": np.zeros(NUM_ROWS)},
            {"event_time": "at", "label_time": "told"},
            "both must be instants",
        ),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_sentence(columns, roles, said):
    with pytest.raises(ContractError, match=said):
        _prepared(roles=roles, **columns)
