"""Revisions of a contract side by side: which one a request is read under, and what it is filled in with."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from heliostat.columns import Category, Number
from heliostat.declared.revisions import (
    Revision,
    as_trained,
    backfilled,
    refuse_unfit,
    renamed_since,
    sent_by_revision,
)
from heliostat.errors import ContractError, WorkloadError
from heliostat.serving.problem import GoneError, MalformedError
from heliostat.serving.revisions import Revisions
from heliostat.serving.rows import Contract, Defaults
from heliostat.watch.profile import Profile
from heliostat.watch.windows import unsent_cells

AT = datetime(2024, 3, 1, 12, tzinfo=UTC)
DEPRECATED, SUNSET = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC)
LOAD, HEAT = Number("load", 0, 100), Number("heat_c", -40, 70)
SITE, OLD_SITE = Category("site", closed=("a", "b", "c")), Category("site", closed=("a", "b"))
NOISE, WIND = Number("noise", 0, 10), Number("wind_kmh", 0, 300)
FIRST = Revision(
    number=1,
    columns=(Number("load", 0, 200), Number("temp", -40, 70), OLD_SITE, NOISE),
    deprecated_at=DEPRECATED,
    sunset_at=SUNSET,
    renamed={"temp": "heat_c"},
    derive={"wind_kmh": lambda batch: batch["noise"] * 10.0},
)
CONTRACT = Contract(
    columns=(LOAD, HEAT, SITE, WIND),
    key="machine",
    event_time="at",
    due_time="due",
    revision=2,
    earlier=(FIRST,),
)
OLD = {"load": 150, "temp": 5, "site": "a", "noise": 2}
NEW = {"load": 50, "heat_c": 5, "site": "c", "wind_kmh": 30}


def ask(*rows, named=None, at=AT, revisions=None):
    revisions = revisions or Revisions(CONTRACT, docs="/toy/docs")
    defaults = Defaults(request_id="r", received_at=at)
    return revisions.read(lambda reader: reader.from_rows(list(rows), defaults), named=named, at=at, by="app")


def test_rows_of_every_revision_become_rows_of_one_log():
    old, new = ask(OLD), ask(NEW)
    assert (old.revision, new.revision) == (1, 2)
    assert [column.name for column in CONTRACT.logged] == ["load", "heat_c", "site", "wind_kmh", "noise"]
    assert old.values_by_column == {"load": [150.0], "heat_c": [5.0], "site": ["a"], "wind_kmh": [20.0], "noise": [2.0]}
    assert new.values_by_column == {"load": [50.0], "heat_c": [5.0], "site": ["c"], "wind_kmh": [30.0], "noise": [None]}


def test_arrow_columns_are_completed_as_rows_are():
    columns = {name: pa.array([value, value]) for name, value in OLD.items()}
    revisions = Revisions(CONTRACT, docs="")
    defaults = Defaults(request_id="r", received_at=AT)
    read = revisions.read(lambda reader: reader.from_columns(columns, defaults), named="1", at=AT, by="app")
    assert list(read.values_by_column["wind_kmh"]) == [20.0, 20.0]
    assert read.values_by_column["heat_c"].to_pylist() == [5.0, 5.0]


def test_a_revision_that_is_named_is_held_to():
    with pytest.raises(ContractError, match="'noise' is not declared"):
        ask(OLD, named="2")
    with pytest.raises(ContractError, match="'heat_c' is not declared"):
        ask(NEW, named="1")
    with pytest.raises(ContractError, match="must be one of a, b"):
        ask({**OLD, "site": "c"}, named="1")


def test_what_fits_no_revision_is_told_in_words_of_the_current_one():
    with pytest.raises(ContractError, match=r"'load' must lie between 0 and 100.*revision 2; none before it fits"):
        ask({**NEW, "load": 150})


@pytest.mark.parametrize("named", ["0", "3", "-1", "one", "", "1.0", "²", "9" * 5000])
def test_a_revision_that_never_was_is_malformed(named):
    with pytest.raises(MalformedError, match="X-Contract-Revision must be one of 2, 1"):
        ask(OLD, named=named)


def test_a_retired_revision_is_gone_and_the_remedy_is_named():
    for named in ("1", None):
        with pytest.raises(GoneError, match=r"on 2024-07-01.*add 'wind_kmh', leave 'noise' out, call 'temp' 'heat_c'"):
            ask(OLD, named=named, at=SUNSET)
    assert ask(NEW, at=SUNSET).revision == 2
    forgotten = Revisions(replace(CONTRACT, earlier=()), docs="/toy/docs")
    with pytest.raises(GoneError, match="revision 1 was retired"):
        ask(OLD, named="1", revisions=forgotten)


def test_an_answer_says_that_its_revision_is_deprecated():
    revisions = Revisions(CONTRACT, docs="/toy/docs")
    assert revisions.headers(2) == {"X-Contract-Revision": "2"}
    assert revisions.headers(1) == {
        "X-Contract-Revision": "1",
        "Deprecation": "@1704067200",
        "Sunset": "Mon, 01 Jul 2024 00:00:00 GMT",
        "Link": '</toy/docs>; rel="deprecation"',
    }
    assert Revisions(replace(CONTRACT, earlier=()), docs="").headers(2) == {}


def test_who_still_uses_an_earlier_revision_is_counted():
    revisions = Revisions(CONTRACT, docs="")
    for row in (OLD, NEW, OLD):
        ask(row, revisions=revisions)
    current, first = revisions.status(at=AT)
    assert (current["state"], first["state"], first["num_requests_by_key"]) == ("current", "deprecated", {"app": 2})
    assert revisions.status(at=SUNSET)[1]["state"] == "retired"


def test_a_version_trained_before_a_rename_finds_its_column():
    logged = pa.table({"load": [1.0], "heat_c": [5.0], "site": ["a"], "wind_kmh": [3.0], "noise": [None]})
    seen = as_trained(logged, FIRST.columns, renamed=renamed_since([FIRST]))
    assert seen.to_pylist() == [{"load": 1.0, "temp": 5.0, "site": "a", "noise": None}]


def test_old_rows_of_the_lake_are_completed_for_training():
    rows = pa.table(
        {
            "load": [1.0, 2.0],
            "heat_c": pa.array([None, 7.0], pa.float64()),
            "temp": pa.array([5.0, None], pa.float64()),
            "site": ["a", "c"],
            "wind_kmh": pa.array([None, 9.0], pa.float64()),
            "noise": pa.array([2.0, None], pa.float64()),
        }
    )
    filled = backfilled(rows, CONTRACT.columns, [FIRST])
    assert (filled["heat_c"].to_pylist(), filled["wind_kmh"].to_pylist()) == ([5.0, 7.0], [20.0, 9.0])
    constant = replace(FIRST, derive={}, fill={"wind_kmh": 4})
    assert backfilled(rows, CONTRACT.columns, [constant])["wind_kmh"].to_pylist() == [4.0, 9.0]


def test_what_was_filled_in_is_no_drift():
    said = sent_by_revision(CONTRACT.columns, [FIRST], current=2)
    random = np.random.default_rng(1)
    reference = pa.table({"wind_kmh": random.normal(50, 9, 400), "noise": random.uniform(0, 10, 400)})
    profile = Profile.fit(reference, [WIND, NOISE], np.full(400, 0.5))
    rows = pa.table(
        {
            "revision": pa.array([1] * 100 + [2] * 100 + [None] * 100, pa.int32()),
            "wind_kmh": pa.concat_arrays([pa.array([0.0] * 100), reference["wind_kmh"].combine_chunks()[:200]]),
            "noise": pa.concat_arrays([reference["noise"].combine_chunks()[:100], pa.nulls(100, pa.float64()),
                                       reference["noise"].combine_chunks()[100:200]]),
        }
    )  # fmt: skip
    unsent = unsent_cells(rows, said)
    counts = profile.count(rows, np.full(300, 0.5), unsent=unsent)
    assert counts.num_rows == 300
    assert [sum(counts.by_column[name]) for name in ("wind_kmh", "noise", "probability")] == [200, 200, 300]
    assert all(drift.effect < 0.05 for drift in profile.compare(counts).values())
    naive = profile.compare(profile.count(rows, np.full(300, 0.5)))
    assert min(naive["wind_kmh"].effect, naive["noise"].effect) > 0.3


def test_rows_from_before_there_were_revisions_count_everywhere():
    rows = pa.table({"revision": pa.nulls(3, pa.int32())})
    assert unsent_cells(rows, sent_by_revision(CONTRACT.columns, [FIRST], current=2)) == {}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"derive": {}}, "lack 'wind_kmh', which is not optional; give it a value"),
        ({"derive": {}, "fill": {"wind_kmh": 400}}, "'wind_kmh' must lie between 0 and 300; got 400.0"),
        ({"derive": {}, "fill": {"wind_kmh": "x"}}, "must be a number"),
        ({"fill": {"wind_kmh": 1}}, "one of them"),
        ({"fill": {"load": 1}}, "which only one side has; got 'load'"),
        ({"renamed": {"temp": "wind"}}, "must lead from a column of its own to a current one"),
        ({"renamed": {"temp": "site"}}, "must lead from"),
        ({"number": 2}, "numbers of their own, below the current one"),
        ({"columns": (Category("load"), *FIRST.columns[1:])}, "'load' changes from text to a number"),
    ],
)
def test_a_revision_whose_rows_cannot_be_read_today_is_refused(changed, message):
    with pytest.raises(WorkloadError, match=message):
        refuse_unfit(CONTRACT.columns, [replace(FIRST, **changed)], current=2)


@pytest.mark.parametrize(
    "changed",
    [{"sunset_at": datetime(2023, 1, 1, tzinfo=UTC)}, {"deprecated_at": datetime(2024, 1, 1)}, {"columns": ()}],  # noqa: DTZ001
)
def test_a_revision_that_makes_no_sense_is_refused(changed):
    with pytest.raises(WorkloadError, match="Revision 1"):
        replace(FIRST, **changed)
