"""What the monitor knows as numbers with names: the list that is exported, bounded whatever the traffic is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from heliostat.watch.events import ChampionChanged, CohortMatured, WindowClosed


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One gauge: its name ends in its unit, its labels are few and known beforehand."""

    name: str
    help: str
    value: float
    label_by_name: Mapping[str, str] = field(default_factory=dict)


def measurements(
    *, champion: ChampionChanged | None, window: WindowClosed | None, cohort: CohortMatured | None, clock: datetime
) -> list[Measurement]:
    """The champion, the newest closed window and the newest matured cohort, as numbers at `clock`."""
    told = [_instant("monitor_clock", "The clock of the events that the monitor has reached", clock)]
    if champion is not None:
        told += _of_champion(champion)
    if window is not None:
        told += _of_window(window)
    if cohort is not None:
        told += _of_cohort(cohort)
    return told


def _of_champion(champion: ChampionChanged) -> Iterator[Measurement]:
    yield Measurement(name="champion_version", help="The version that is watched", value=champion.version)
    yield _instant("champion_since", "When the watched version became champion", champion.at)
    yield _instant("champion_trained_until", "The newest row that it was trained on", champion.trained_until)
    for metric, reference in champion.reference_by_metric.items():
        yield Measurement(
            name="champion_holdout_score",
            help="What the watched version scored on its hold-out when it was judged",
            value=reference.score,
            label_by_name={"metric": metric},
        )


def _of_window(window: WindowClosed) -> Iterator[Measurement]:
    yield _instant("window_end", "The end of the newest closed window", window.until)
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


def _of_cohort(cohort: CohortMatured) -> Iterator[Measurement]:
    yield _instant("cohort_end", "The newest predictions whose labels have fallen due", cohort.until)
    for version, score in cohort.score_by_version.items():
        of_version = {"version": str(version)}
        yield Measurement(
            name="cohort_predictions",
            help="Predictions in the newest matured cohort",
            value=score.num_predictions,
            label_by_name=of_version,
        )
        yield Measurement(
            name="cohort_coverage_ratio",
            help="The share of the newest matured cohort that has a label",
            value=score.coverage,
            label_by_name=of_version,
        )
        for metric, value in score.score_by_metric.items():
            yield Measurement(
                name="cohort_score",
                help="Realised quality of the newest matured cohort",
                value=value,
                label_by_name={**of_version, "metric": metric},
            )


def _instant(name: str, text: str, at: datetime) -> Measurement:
    return Measurement(name=f"{name}_timestamp_seconds", help=text, value=at.timestamp())
