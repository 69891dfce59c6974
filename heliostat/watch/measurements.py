"""What the monitor knows as numbers with names: the list that is exported, bounded whatever the traffic is."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from heliostat.watch.awaited import Awaited
from heliostat.watch.estimates import ASSUMPTION
from heliostat.watch.events import ChampionChanged, CohortMatured, WindowClosed
from heliostat.watch.measured_quality import Measurement, instant, of_cohort, of_estimates, of_groups


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
    told = [instant("monitor_clock", "The clock of the events that the monitor has reached", clock)]
    if awaited is not None:
        told += _of_awaited(awaited)
    if champion is not None:
        told += _of_champion(champion)
    if window is not None:
        told += _of_window(window)
    if first is not None:
        told += _of_first(first)
    if cohort is not None:
        told += of_cohort(cohort)
    if champion is not None:
        told += of_estimates(since_champion, version=champion.version)
        told += of_groups(since_champion, version=champion.version, sensitive=sensitive)
    return told


def _of_awaited(awaited: Awaited) -> Iterator[Measurement]:
    if awaited.newest_event_at is not None:
        yield instant("prediction_newest_event", "The newest event that was asked about", awaited.newest_event_at)
    if awaited.maturity is not None:
        yield Measurement(
            name="label_delay_estimate_seconds",
            help="After which a prediction without a due time matures, estimated from how long labels took",
            value=awaited.maturity.after.total_seconds(),
        )
        yield Measurement(
            name="label_coverage_estimate_ratio",
            help="The share of such predictions that is expected to have a label by then",
            value=awaited.maturity.coverage,
        )


def _of_champion(champion: ChampionChanged) -> Iterator[Measurement]:
    yield Measurement(name="champion_version", help="The version that is watched", value=champion.version)
    yield instant("champion_since", "When the watched version became champion", champion.at)
    yield instant("champion_trained_until", "The newest row that it was trained on", champion.trained_until)
    for metric, reference in champion.reference_by_metric.items():
        yield Measurement(
            name="champion_holdout_score",
            help="What the watched version scored on its hold-out when it was judged",
            value=reference.score,
            label_by_name={"metric": metric},
        )


def _of_window(window: WindowClosed) -> Iterator[Measurement]:
    yield instant("window_end", "The end of the newest closed window", window.until)
    yield Measurement(name="window_rows", help="Rows in the newest closed window", value=window.num_rows)
    for column, drift in window.drift_by_column.items():
        of_column = {"column": column}
        yield Measurement(
            name="drift_population_stability_index",
            help="How far the newest window is from the reference; `probability` is the answers",
            value=drift.psi,
            label_by_name=of_column,
        )
        yield Measurement(
            name="drift_noise_floor",
            help="The index that calm data would show as well",
            value=drift.floor,
            label_by_name=of_column,
        )
        yield Measurement(
            name="column_missing_ratio",
            help="The share of rows of the newest window without a value",
            value=drift.missing,
            label_by_name=of_column,
        )
        if drift.unseen is not None:
            yield Measurement(
                name="column_unseen_ratio",
                help="The share of rows of the newest window with a value outside what training held",
                value=drift.unseen,
                label_by_name=of_column,
            )
    for metric, value in window.estimated_by_metric.items():
        yield Measurement(
            name="estimated_score",
            help=f"Quality of the newest window before its labels arrive; assumes {ASSUMPTION}",
            value=value,
            label_by_name={"metric": metric},
        )


def _of_first(window: WindowClosed) -> Iterator[Measurement]:
    for column, drift in window.drift_by_column.items():
        yield Measurement(
            name="skew_population_stability_index",
            help="Beyond calm: the first window after the promotion against what the version was trained on",
            value=drift.effect,
            label_by_name={"column": column},
        )
