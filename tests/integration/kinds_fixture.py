"""Bundles of any module's workload, fitted quickly on its own source: a network, or trees where it has no network."""

import importlib
from datetime import UTC, datetime
from functools import lru_cache

import pyarrow as pa

from heliostat.intake import take
from heliostat.learn.bundle import to_files
from heliostat.learn.fit import fit
from heliostat.learn.fit_trees import fit_trees
from heliostat.learn.rows import split_by_time
from heliostat.store.bundles import write_bundle

LATER = datetime(2200, 1, 1, tzinfo=UTC)


def bundle_of(home, module, *, seed):
    """The bundle of a fit on the first two parts of the module's source; each is fitted once in a test run."""
    return write_bundle(str(home / "bundles"), _files(module, seed))


@lru_cache
def _files(module, seed):
    workload = importlib.import_module(module).workload
    table = pa.concat_tables([workload.source.read(part) for part in workload.source.parts()[:2]])
    rows = take(workload, table, since=None, until=LATER).good
    train, validation = split_by_time(rows.filter(rows["label"].is_valid()), share=0.2)
    fitted = {"network": fit, "trees": fit_trees}[workload.kinds[0]](workload, train, validation, seed=seed)
    return to_files(module, fitted, profile={}, lineage={"seed": seed})
