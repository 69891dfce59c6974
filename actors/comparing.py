"""Compares two versions for a caller over HTTP: the work of one task, in a process of its own.

Reads:  lake: predictions, shadows, labels; catalog: aliases, turns, versions, journal
Writes: nothing
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from actors.proxy import catalog
from actors.shut_out import shut_out
from actors.trial import compare, on_trial, refuse_nothing
from heliostat.columns import Column
from heliostat.govern.asked_comparison import AskedComparison
from heliostat.govern.comparison import Comparison
from heliostat.store.catalog import Catalog
from heliostat.store.lake import Lake

LAST = datetime(2200, 1, 1, tzinfo=UTC)


def compare_live(workload: str, columns: Sequence[Column], asked: AskedComparison) -> Comparison:
    """The same with the catalog of this cluster: what the task runs."""
    return compare_asked(workload, columns, asked, catalog=catalog())


def compare_asked(workload: str, columns: Sequence[Column], asked: AskedComparison, *, catalog: Catalog) -> Comparison:
    """The version beside the other on live rows; NotFoundError when there are none, or no such version."""
    number = asked.version or on_trial(catalog, workload)
    since = asked.since or datetime.fromisoformat(catalog.version(workload, number).lineage["as_of"])
    found = compare(
        Lake(asked.lake_uri),
        workload,
        columns,
        version=number,
        against=asked.against,
        since=since,
        clock=asked.until or LAST,
        task=asked.task,
        shut_out=shut_out(catalog, workload),
    )
    refuse_nothing(found, asked.against)
    return found
