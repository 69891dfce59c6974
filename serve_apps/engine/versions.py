"""The model versions that a replica holds ready, and loading them from verified bundles."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.columns import Column, Vector
from heliostat.declared.cache import Cache
from heliostat.declared.revisions import as_trained, renamed_since
from heliostat.errors import BundleError, CatalogError, HeliostatError
from heliostat.labels import Classes, Label
from heliostat.learn.bundle import ServedModel
from heliostat.learn.source_code import IN_PROCESS
from heliostat.records import BundleRef, Route
from heliostat.serving.answer_cache import AnswerCache
from heliostat.serving.authentication import Keyring
from heliostat.serving.breaker import Breaker
from heliostat.serving.rows import Contract
from heliostat.store.bundles import read_bundle

logger = logging.getLogger(__name__)

Probabilities = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LoadedVersion:
    """One version, ready to answer, and the bundle that it came from."""

    bundle: BundleRef
    model: ServedModel
    has_other_columns: bool
    renamed: Mapping[str, str] = field(default_factory=dict)
    num_missing: int = 0

    def answers(self, table: pa.Table) -> Probabilities:
        """The model's answers to rows as they are logged; classes that were declared after it have no chance."""
        if self.has_other_columns:
            table = as_trained(table, self.model.workload.columns, renamed=self.renamed)
        with IN_PROCESS:
            answers = self.model.answers(table)
        return np.pad(answers, ((0, 0), (0, self.num_missing))) if self.num_missing else answers


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
    contract: Contract,
    device: str = "cpu",
) -> dict[int, LoadedVersion]:
    """Every wanted version, loaded and warm; what is held already is kept. Takes seconds: call it in a thread."""
    loaded: dict[int, LoadedVersion] = {}
    for number in sorted(wanted):
        bundle = bundle_by_number.get(number)
        if bundle is None:
            raise BundleError(
                f"The routing record names version {number} without its bundle; publish it with its bundle."
            )
        before = held.get(number)
        is_held = before is not None and before.bundle == bundle
        loaded[number] = before if before is not None and is_held else load_version(bundle, contract, device=device)
    return loaded


def load_version(bundle: BundleRef, contract: Contract, *, device: str = "cpu") -> LoadedVersion:
    """The version in a bundle, warm, for rows as this contract logs them; BundleError when it needs others.

    Networks answer on `device`; SettingsError when the process has none such.
    """
    model = ServedModel.load(read_bundle(bundle.uri, bundle.hash))
    logged, renamed = {column.name for column in contract.logged}, renamed_since(contract.earlier)
    needed = [column for column in model.workload.columns if column.name not in logged]
    lacking = [column.name for column in needed if not column.optional and column.name not in renamed]
    if lacking:
        raise BundleError(
            f"The bundle {bundle.uri} needs the columns {lacking}, which requests of this deployment do not carry; "
            "declare the contract revision that has them in Workload(earlier=...), or deploy the workload that it was "
            "trained with."
        )
    _refuse_other_lengths(bundle, model.workload.columns, contract.logged)
    num_missing = _num_missing(bundle, model.workload.label, contract.label)
    with IN_PROCESS:
        model.move_to(device)
        model.warm()
    return LoadedVersion(
        bundle=bundle, model=model, has_other_columns=bool(needed), renamed=renamed, num_missing=num_missing
    )


def _refuse_other_lengths(bundle: BundleRef, needed: Sequence[Column], logged: Sequence[Column]) -> None:
    lengths = {column.name: column.length for column in logged if isinstance(column, Vector)}
    for column in needed:
        if isinstance(column, Vector) and lengths.get(column.name, column.length) != column.length:
            raise BundleError(
                f"The bundle {bundle.uri} needs {column.length} numbers in {column.name!r}, requests carry "
                f"{lengths[column.name]}; give the longer or shorter vector a name of its own."
            )


def _num_missing(bundle: BundleRef, own: Label, wanted: Label) -> int:
    """How many classes were declared after the version was trained; BundleError for another kind of label."""
    if isinstance(own, Classes) and isinstance(wanted, Classes) and wanted.values[: len(own.values)] == own.values:
        return len(wanted.values) - len(own.values)
    if type(own) is not type(wanted) or isinstance(own, Classes):
        raise BundleError(
            f"The bundle {bundle.uri} answers {own}, this deployment {wanted}: train a version for it under a name of "
            "its own, and add new classes at the end."
        )
    return 0


def refuse_unloadable(
    number: int, bundle: BundleRef, *, held: LoadedVersion | None, contract: Contract, device: str = "cpu"
) -> None:
    """CatalogError when the version cannot be loaded; where it is `held` already only its files are verified."""
    try:
        if held is not None and held.bundle == bundle:
            read_bundle(bundle.uri, bundle.hash)
        else:
            load_version(bundle, contract, device=device)
    # The outer edge of a bundle's own code: whatever it raises here, it would raise in every replica.
    except Exception as error:
        logger.exception("Version %d cannot be loaded.", number)
        said = str(error) if isinstance(error, HeliostatError) else f"{type(error).__name__}: {error}"
        raise CatalogError(
            f"Version {number} cannot be loaded, so nothing was changed: {said:.500} Promote another version."
        ) from error


class Scorer:
    """Asks versions for probabilities; one that fails is counted and skipped, it never fails the request.

    One that failed several times in a row is not asked for a while (`heliostat.serving.breaker`).
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, cache: Cache | None = None, shape: tuple[int, ...] = ()
    ) -> None:
        """`shape` is that of one answer."""
        self.num_errors_by_version: Counter[int] = Counter()
        self.reason_by_version: dict[int, str] = {}
        self._clock = clock
        self.cache = None if cache is None else AnswerCache(cache, clock, shape=shape)
        # Those that failed lately. By bundle too: a version that comes back with another bundle starts anew.
        self._breakers: dict[tuple[int, str], Breaker] = {}

    def answers(self, live: Live, number: int, table: pa.Table) -> Probabilities | None:
        """The version's probabilities for the rows; None when it cannot give them, `reason_by_version` says why."""
        version = live.version_by_number.get(number)
        if version is None:
            self.reason_by_version[number] = "is not loaded"
            return None
        place = number, version.bundle.hash
        breaker = self._breakers.get(place)
        if breaker is not None:
            if not breaker.allows(self._clock()):
                self.reason_by_version[number] = f"rests after {breaker.num_failures} failures in a row"
                return None
            self._breakers[place] = breaker.tried(self._clock())
        scores = self._scores(version, number, table)
        if scores is None:
            self._breakers[place] = (breaker or Breaker()).failed(self._clock())
        elif breaker is not None:
            # The same as `breaker.succeeded()`: what is not there is closed.
            del self._breakers[place]
        return scores

    @property
    def num_errors(self) -> int:
        """How often a version failed on rows that it was asked for."""
        return sum(self.num_errors_by_version.values())

    @property
    def num_hits(self) -> int:
        """How many rows were answered from the cache."""
        return 0 if self.cache is None else self.cache.num_hits

    def breaker_states(self, live: Live) -> dict[str, str]:
        """Every loaded version's breaker: closed, open or half-open."""
        now_s = self._clock()
        return {
            str(number): self._breakers.get((number, version.bundle.hash), Breaker()).state(now_s)
            for number, version in sorted(live.version_by_number.items())
        }

    def _scores(self, version: LoadedVersion, number: int, table: pa.Table) -> Probabilities | None:
        try:
            scores = self._answers(version, number, table)
        # The outer edge of code that a user wrote (`encode`, the network): another version can still answer.
        except Exception:
            logger.exception("Version %d failed on %d rows.", number, table.num_rows)
            self._count(number, "failed on these rows")
            return None
        if len(scores) != table.num_rows or not np.isfinite(scores).all():
            logger.error("Version %d gave no finite probability for each of %d rows.", number, table.num_rows)
            self._count(number, "gave no finite probability for these rows")
            return None
        return scores

    def _answers(self, version: LoadedVersion, number: int, table: pa.Table) -> Probabilities:
        if self.cache is None:
            return version.answers(table)
        return self.cache.answers(f"{number}/{version.bundle.hash}", table, ask=version.answers)

    def _count(self, number: int, reason: str) -> None:
        self.num_errors_by_version[number] += 1
        self.reason_by_version[number] = reason
