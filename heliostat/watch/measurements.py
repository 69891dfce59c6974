"""What the monitor knows as numbers with names: the list that is exported, bounded whatever the traffic is."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from heliostat.watch.awaited import Awaited
from heliostat.watch.estimates import ASSUMPTION
from heliostat.watch.events import ChampionChanged, CohortMatured, WindowClosed
from heliostat.watch.gauges import Gauge, Measurement
from heliostat.watch.measured_quality import of_cohort, of_estimates, of_groups
from heliostat.watch.within import SliceDrifts

CLOCK = Gauge("monitor_clock_timestamp_seconds", "The clock of the events that the monitor has reached")
NEWEST_EVENT = Gauge("prediction_newest_event_timestamp_seconds", "The newest event that was asked about")
LABEL_DELAY = Gauge(
    "label_delay_estimate_seconds",
    "After which a prediction without a due time matures, estimated from how long labels took",
)
LABEL_COVERAGE = Gauge(
    "label_coverage_estimate_ratio", "The share of such predictions that is expected to have a label by then"
)
CHAMPION = Gauge("champion_version", "The version that is watched")
CHAMPION_SINCE = Gauge("champion_since_timestamp_seconds", "When the watched version became champion")
TRAINED_UNTIL = Gauge("champion_trained_until_timestamp_seconds", "The newest row that it was trained on")
HOLDOUT_SCORE = Gauge(
    "champion_holdout_score", "What the watched version scored on its hold-out when it was judged", ("metric",)
)
WINDOW_END = Gauge("window_end_timestamp_seconds", "The end of the newest closed window")
WINDOW_ROWS = Gauge("window_rows", "Rows in the newest closed window")
INDEX = Gauge(
    "drift_population_stability_index",
    "How far the newest window is from the reference; `probability` is the answers",
    ("column",),
)
NOISE_FLOOR = Gauge("drift_noise_floor", "The index that calm data would show as well", ("column",))
MISSING = Gauge("column_missing_ratio", "The share of rows of the newest window without a value", ("column",))
UNSEEN = Gauge(
    "column_unseen_ratio",
    "The share of rows of the newest window with a value outside what training held",
    ("column",),
)
ESTIMATED_SCORE = Gauge(
    "estimated_score",
    f"Quality of the newest window before its labels arrive; assumes {ASSUMPTION}",
    ("metric",),
)
CORRELATION_CHANGE = Gauge(
    "drift_correlation_change",
    "How far the correlation with another column surely moved from the reference, the largest",
    ("column",),
)
SLICE_ROWS = Gauge("slice_rows", "Rows of the slice in the newest closed window", ("slice_column", "slice"))
SLICE_INDEX = Gauge(
    "slice_drift_population_stability_index",
    "Beyond calm: how far the slice's rows of the newest window are from its rows in the reference",
    ("slice_column", "slice", "column"),
)
SKEW = Gauge(
    "skew_population_stability_index",
    "Beyond calm: the first window after the promotion against what the version was trained on",
    ("column",),
)


def measurements(
    *,
    champion: ChampionChanged | None,
    window: WindowClosed | None,
    cohort: CohortMatured | None,
    clock: datetime,
    first: WindowClosed | None = None,
    since_champion: Sequence[CohortMatured] = (),
    sensitive: Sequence[str] = (),
    awaited: Awaited | None = None,
) -> list[Measurement]:
    """The champion, the newest closed window and the newest matured cohort, as numbers at `clock`.

    `first` is the first window behind the promotion, `since_champion` all cohorts since; of `sensitive` columns the
    gaps are told too.
    """
    told = [CLOCK.at(clock)]
    if awaited is not None:
        told += _of_awaited(awaited)
    if champion is not None:
        told += _of_champion(champion)
    if window is not None:
        told += _of_window(window)
    if first is not None:
        told += [SKEW.of(drift.effect, column) for column, drift in first.drift_by_column.items()]
    if cohort is not None:
        told += of_cohort(cohort)
    if champion is not None:
        told += of_estimates(since_champion, version=champion.version)
        told += of_groups(since_champion, version=champion.version, sensitive=sensitive)
    return told


def _of_awaited(awaited: Awaited) -> Iterator[Measurement]:
    if awaited.newest_event_at is not None:
        yield NEWEST_EVENT.at(awaited.newest_event_at)
    if awaited.maturity is not None:
        yield LABEL_DELAY.of(awaited.maturity.after.total_seconds())
        yield LABEL_COVERAGE.of(awaited.maturity.coverage)


def _of_champion(champion: ChampionChanged) -> Iterator[Measurement]:
    yield CHAMPION.of(champion.version)
    yield CHAMPION_SINCE.at(champion.at)
    yield TRAINED_UNTIL.at(champion.trained_until)
    for metric, reference in champion.reference_by_metric.items():
        yield HOLDOUT_SCORE.of(reference.score, metric)


def _of_window(window: WindowClosed) -> Iterator[Measurement]:
    yield WINDOW_END.at(window.until)
    yield WINDOW_ROWS.of(window.num_rows)
    for column, drift in window.drift_by_column.items():
        yield INDEX.of(drift.psi, column)
        yield NOISE_FLOOR.of(drift.floor, column)
        yield MISSING.of(drift.missing, column)
        if drift.unseen is not None:
            yield UNSEEN.of(drift.unseen, column)
    for metric, value in window.estimated_by_metric.items():
        yield ESTIMATED_SCORE.of(value, metric)
    if window.together is not None:
        for column, change in window.together.change_by_column.items():
            yield CORRELATION_CHANGE.of(change, column)
    if window.within is not None:
        yield from _of_slices(window.within)


def _of_slices(told: SliceDrifts) -> Iterator[Measurement]:
    for (name, group), num_rows in zip(told.slices, told.num_rows, strict=True):
        yield SLICE_ROWS.of(num_rows, name, group)
    for ((name, group), column), effect in zip(told.streams, told.effects, strict=True):
        if column != name:
            yield SLICE_INDEX.of(effect, name, group, column)
