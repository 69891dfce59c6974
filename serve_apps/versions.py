"""The model versions that a replica holds ready, and loading them from verified bundles."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Column, normalise
from heliostat.errors import BundleError
from heliostat.learn.bundle import ServedModel
from heliostat.records import BundleRef, Route
from heliostat.serving.authentication import Keyring
from heliostat.store.bundles import read_bundle

logger = logging.getLogger(__name__)

Probabilities = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LoadedVersion:
    """One version, ready to answer, and the bundle that it came from."""

    bundle: BundleRef
    model: ServedModel
    has_other_columns: bool

    def probabilities(self, table: pa.Table) -> Probabilities:
        """The model's probabilities for rows that keep the deployment's contract."""
        columns = self.model.workload.columns
        return self.model.probabilities(normalise(table, columns) if self.has_other_columns else table)


@dataclass(frozen=True, kw_only=True)
class Live:
    """All that a request needs, swapped as one: nobody ever sees half of a change."""

    route: Route
    keyring: Keyring
    version_by_number: Mapping[int, LoadedVersion] = field(default_factory=dict)


def load_versions(
    wanted: Iterable[int],
    *,
    bundle_by_number: Mapping[int, BundleRef],
    held: Mapping[int, LoadedVersion],
    columns: Iterable[Column],
) -> dict[int, LoadedVersion]:
    """Every wanted version, loaded and warm; what is held already is kept. Takes seconds: call it in a thread."""
    declared = frozenset(column.name for column in columns)
    loaded: dict[int, LoadedVersion] = {}
    for number in sorted(wanted):
        bundle = bundle_by_number.get(number)
        if bundle is None:
            raise BundleError(
                f"The routing record names version {number} without its bundle; publish it with its bundle."
            )
        before = held.get(number)
        loaded[number] = before if before is not None and before.bundle == bundle else _load(bundle, declared)
    return loaded


def _load(bundle: BundleRef, declared: frozenset[str]) -> LoadedVersion:
    model = ServedModel.load(read_bundle(bundle.uri, bundle.hash))
    needed = [column for column in model.workload.columns if column.name not in declared]
    lacking = [column.name for column in needed if not column.optional]
    if lacking:
        raise BundleError(
            f"The bundle {bundle.uri} needs the columns {lacking}, which requests of this deployment do not carry; "
            "deploy the workload that it was trained with."
        )
    model.warm()
    return LoadedVersion(bundle=bundle, model=model, has_other_columns=bool(needed))


class Scorer:
    """Asks versions for probabilities; one that fails is counted and skipped, it never fails the request."""

    def __init__(self) -> None:
        self.num_errors_by_version: Counter[int] = Counter()

    def probabilities(self, live: Live, number: int, table: pa.Table) -> Probabilities | None:
        """The version's probabilities for the rows, None when it cannot give them."""
        version = live.version_by_number.get(number)
        if version is None:
            return None
        try:
            scores = version.probabilities(table)
        # The outer edge of code that a user wrote (`encode`, the network): another version can still answer.
        except Exception:
            logger.exception("Version %d failed on %d rows.", number, table.num_rows)
            self.num_errors_by_version[number] += 1
            return None
        if scores.shape != (table.num_rows,) or not np.isfinite(scores).all():
            logger.error("Version %d gave no finite probability for each of %d rows.", number, table.num_rows)
            self.num_errors_by_version[number] += 1
            return None
        return scores
