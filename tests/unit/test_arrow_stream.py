import math
import random
import time
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from heliostat.columns import Category, Number
from heliostat.errors import ContractError, HeliostatError
from heliostat.serving.arrow_cells import checked_array
from heliostat.serving.arrow_stream import read_stream, write_stream
from heliostat.serving.problem import MalformedError, TooLargeError
from heliostat.serving.rows import Contract, Defaults, RowReader

LOAD, HEAT = Number("load", low=0, high=100), Number("heat", low=-40, high=70, optional=True)
SITE, MODE = Category("site"), Category("mode", closed=("on", "off"), optional=True)
READER = RowReader(
    Contract(columns=(LOAD, HEAT, SITE, MODE), key="machine", event_time="read_at", due_time="checked_by")
)
AT = datetime(2024, 3, 1, tzinfo=UTC)
DEFAULTS = Defaults(request_id="r", received_at=AT)
GOOD = pa.table({"load": [1.0, 2.0], "heat": [None, 3.0], "site": ["a", "b"], "mode": ["on", None]})


def stream(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def read(body, max_rows=100, max_bytes=10_000):
    return read_stream(body, max_rows=max_rows, max_bytes=max_bytes)


def rows_of(table):
    return READER.from_columns(read(stream(table)), DEFAULTS)


def test_what_fits_already_is_not_copied():
    body = stream(GOOD)
    start, end = pa.py_buffer(body).address, pa.py_buffer(body).address + len(body)
    rows = READER.from_columns(read(body), DEFAULTS)
    for name in ("load", "heat", "site", "mode"):
        values = rows.values_by_column[name]
        assert start <= values.buffers()[-1].address < end, name


def test_columns_say_what_rows_say():
    rows = rows_of(GOOD)
    by_row = READER.from_rows([{"load": 1, "site": "a", "mode": "on"}, {"load": 2, "heat": 3, "site": "b"}], DEFAULTS)
    assert {name: values.to_pylist() for name, values in rows.values_by_column.items()} == by_row.values_by_column
    assert (rows.keys, rows.event_at, rows.due_at) == (by_row.keys, by_row.event_at, by_row.due_at)


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.float32(), pa.float16(), pa.float64()])
def test_numbers_come_in_any_numeric_type(kind):
    rows = rows_of(pa.table({"load": pa.array([1, 2]).cast(kind), "site": ["a", "b"]}))
    assert rows.values_by_column["load"].equals(pa.array([1.0, 2.0]))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_text_comes_in_any_text_type(kind):
    rows = rows_of(pa.table({"load": [1.0, 2.0], "site": pa.array(["a", "b"]).cast(kind)}))
    assert rows.values_by_column["site"].equals(pa.array(["a", "b"]))


def test_several_batches_are_one_table():
    rows = READER.from_columns(read(stream(pa.concat_tables([GOOD, GOOD.slice(1)]))), DEFAULTS)
    assert rows.values_by_column["load"].to_pylist() == [1.0, 2.0, 2.0]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_keys_and_times_are_taken_when_they_are_sent(unit):
    table = GOOD.append_column("key", pa.array(["k", None]))
    table = table.append_column(
        "read_at", pa.array([datetime(2024, 2, 1, tzinfo=UTC), None], pa.timestamp(unit, "UTC"))
    )
    table = table.append_column("checked_by", pa.array([None, "2024-03-02T00:00:00Z"]))
    rows = rows_of(table)
    assert rows.keys == ["k", "r/1"]
    assert rows.event_at == [datetime(2024, 2, 1, tzinfo=UTC), AT]
    assert rows.due_at == [None, datetime(2024, 3, 2, tzinfo=UTC)]


INSTANTS = [1, 2]


@pytest.mark.parametrize(
    ("name", "values", "parts"),
    [
        ("load", [1.0, 101.0], ["row 1", "'load'", "101"]),
        ("load", [1.0, math.inf], ["row 1", "'load'", "inf"]),
        ("load", [math.nan, 1.0], ["row 0", "'load'", "null"]),
        ("load", ["1", "2"], ["'load'", "a number", "string"]),
        ("load", [True, False], ["'load'", "a number", "bool"]),
        ("load", [[1.0], [2.0]], ["'load'", "a number", "list"]),
        ("load", [2**60 + 1, 1], ["'load'", "a number"]),
        ("site", [1, 2], ["'site'", "text", "int64"]),
        ("site", ["a", None], ["row 1", "'site'", "null"]),
        ("site", [b"a", b"b"], ["'site'", "text", "binary"]),
        ("mode", ["on", "idle"], ["row 1", "'mode'", "on, off", "idle"]),
        ("wind", [1.0, 2.0], ["'wind'", "not declared"]),
        ("machine", [1, 2], ["'machine'", "text"]),
        ("machine", ["", "m"], ["row 0", "'machine'", "not empty"]),
        ("read_at", pa.array(INSTANTS, pa.timestamp("us")), ["'read_at'", "zone"]),
        ("read_at", pa.array([-1, 1], pa.timestamp("us", "UTC")), ["'read_at'", "1970"]),
        ("read_at", pa.array([2**40, 1], pa.timestamp("s", "UTC")), ["'read_at'", "9999"]),
        ("read_at", pa.array([2**62, 1], pa.timestamp("s", "UTC")), ["'read_at'", "9999"]),
    ],
)
def test_a_refusal_names_the_column_and_what_is_wrong(name, values, parts):
    table = GOOD.drop_columns([name]) if name in GOOD.column_names else GOOD
    with pytest.raises(ContractError) as refused:
        rows_of(table.append_column(name, values if isinstance(values, pa.Array) else pa.array(values)))
    assert all(part in str(refused.value) for part in parts), refused.value


def test_a_missing_column_is_named():
    with pytest.raises(ContractError, match="'site' is missing"):
        rows_of(GOOD.drop_columns(["site"]))


def test_a_value_far_down_is_found_at_its_row():
    values = pa.array([1.0] * 9000 + [200.0] * 1000)
    with pytest.raises(ContractError, match=r"row 9000: column 'load'.*and \d+ more"):
        checked_array(values, LOAD)


def test_every_truncation_is_malformed():
    body = stream(GOOD)
    for length in range(len(body)):
        with pytest.raises(MalformedError, match="Arrow stream"):
            read(body[:length])


def outcome(body):
    try:
        return READER.from_columns(read(body), DEFAULTS).num_rows
    except HeliostatError as error:
        return type(error).__name__


def test_changed_bytes_are_refused_or_harmless_and_never_an_error_of_ours():
    body = stream(GOOD.append_column("mode2", GOOD["mode"].combine_chunks().dictionary_encode()).drop_columns("mode"))
    body_without = stream(GOOD)
    chance, outcomes = random.Random(0), set()
    for number in range(6000):
        changed = bytearray(body if number % 2 else body_without)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(changed))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        outcomes.add(outcome(bytes(changed)))
    assert outcomes >= {"MalformedError", "ContractError", 2}


def test_a_time_zone_that_is_no_text_is_malformed():
    body = stream(pa.table({"read_at": pa.array([1], pa.timestamp("us", "Mars"))}))
    assert b"Mars" in body
    with pytest.raises(MalformedError, match="utf-8"):
        read(body.replace(b"Mars", b"\xff\xff\xff\xff"))


def test_bytes_after_the_end_are_malformed():
    with pytest.raises(MalformedError, match="end"):
        read(stream(GOOD) + b"\0" * 8)


def test_a_column_that_is_there_twice_is_malformed():
    table = pa.Table.from_arrays([pa.array([1.0])] * 2, names=["load", "load"])
    with pytest.raises(MalformedError, match="twice"):
        read(stream(table))


def test_one_name_of_many_that_is_there_twice_is_found_at_once():
    names = [f"c{number}" for number in range(20_000)]
    body = stream(pa.table([pa.nulls(1)] * 20_001, names=[*names, names[-1]]))
    started_s = time.process_time()
    with pytest.raises(MalformedError, match="'c19999' is there twice"):
        read(body)
    assert time.process_time() - started_s < 1.5


def test_nanoseconds_are_cut_to_microseconds_as_in_text():
    table = GOOD.append_column("read_at", pa.array([1_700_000_000_123_456_789] * 2, pa.timestamp("ns", "UTC")))
    assert {at.microsecond for at in rows_of(table).event_at} == {123456}


def test_too_many_rows_are_refused_before_they_are_decoded():
    # No buffer at all: a few hundred bytes say ten million rows.
    body = stream(pa.table({"load": pa.nulls(10_000_000)}))
    assert len(body) < 1000
    with pytest.raises(TooLargeError, match="100 rows"):
        read(body)


def test_a_dictionary_that_would_decode_to_more_than_a_body_is_refused():
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 90, pa.int32()), pa.array(["x" * 1000]))
    body = stream(pa.table({"site": repeated}))
    assert len(body) < 10_000
    with pytest.raises(TooLargeError, match="90000 bytes"):
        read(body)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_buffers_are_refused(codec):
    with pytest.raises(MalformedError, match="compress"):
        read(stream(pa.table({"site": ["a" * 100] * 50}), compression=codec))


def test_a_dictionary_of_numbers_is_refused():
    with pytest.raises(MalformedError, match="hold text"):
        read(stream(pa.table({"load": pa.array([1.0, 2.0]).dictionary_encode()})))


def test_an_index_outside_its_dictionary_is_malformed():
    # validate=False: what a writer who means harm would write.
    wrong = pa.DictionaryArray.from_arrays(pa.array([7], pa.int8()), pa.array(["a"]), safe=False)
    with pytest.raises(MalformedError, match="Arrow stream"):
        read(stream(pa.table({"site": wrong})))


def test_what_is_written_is_read_again():
    body = write_stream({"id": pa.array(["a"]), "probability": pa.array([0.5])}, metadata={"degraded": "false"})
    assert {name: values.to_pylist() for name, values in read(body).items()} == {"id": ["a"], "probability": [0.5]}
    assert pa.ipc.open_stream(body).schema.metadata == {b"degraded": b"false"}
