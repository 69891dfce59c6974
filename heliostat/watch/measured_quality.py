"""Quality as numbers with names: of matured cohorts, of what was estimated before, and between groups of rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from heliostat.watch import groups
from heliostat.watch.estimates import estimate_error
from heliostat.watch.events import CohortMatured, CohortScore
from heliostat.watch.groups import GroupTally
from heliostat.watch.reliability import expected_calibration_error


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One gauge: its name ends in its unit, its labels are few and known beforehand."""

    name: str
    help: str
    value: float
    label_by_name: Mapping[str, str] = field(default_factory=dict)


def instant(name: str, text: str, at: datetime) -> Measurement:
    """A moment as a gauge, in seconds since 1970."""
    return Measurement(name=f"{name}_timestamp_seconds", help=text, value=at.timestamp())


def of_cohort(cohort: CohortMatured) -> Iterator[Measurement]:
    """The newest cohort: how many, with how many labels, how old those were, and realised quality, by version."""
    yield instant("cohort_end", "The newest predictions whose labels have fallen due", cohort.until)
    for version, score in cohort.score_by_version.items():
        yield from _of_score(score, {"version": str(version)})


def _of_score(score: CohortScore, of_version: Mapping[str, str]) -> Iterator[Measurement]:
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
    for quantile, seconds in score.label_delay_s.items():
        yield Measurement(
            name="cohort_label_delay_seconds",
            help="From the event to its label, over the labels of the newest matured cohort",
            value=seconds,
            label_by_name={**of_version, "quantile": quantile},
        )
    for metric, value in score.score_by_metric.items():
        yield Measurement(
            name="cohort_score",
            help="Realised quality of the newest matured cohort",
            value=value,
            label_by_name={**of_version, "metric": metric},
        )
    yield from _of_reliability(score, of_version)


def _of_reliability(score: CohortScore, of_version: Mapping[str, str]) -> Iterator[Measurement]:
    if not score.reliability:
        return
    yield Measurement(
        name="cohort_expected_calibration_error",
        help="Mean distance between what was said and what came, over fixed bins of the probability",
        value=expected_calibration_error(score.reliability),
        label_by_name=of_version,
    )
    for one in score.reliability:
        of_bin = {**of_version, "up_to": f"{one.until:g}"}
        yield Measurement(
            name="cohort_reliability_rows",
            help="Labelled rows of the newest matured cohort whose probability lies in the bin",
            value=one.num_rows,
            label_by_name=of_bin,
        )
        yield Measurement(
            name="cohort_reliability_predicted_ratio",
            help="The mean probability that was said in the bin",
            value=one.predicted,
            label_by_name=of_bin,
        )
        yield Measurement(
            name="cohort_reliability_observed_ratio",
            help="The share of positive labels in the bin",
            value=one.observed,
            label_by_name=of_bin,
        )


def of_estimates(cohorts: Sequence[CohortMatured], *, version: int) -> Iterator[Measurement]:
    """How wrong estimated quality was, over all cohorts of the version whose labels came."""
    scores = [one.score_by_version[version] for one in cohorts if version in one.score_by_version]
    for metric in sorted({metric for score in scores for metric in score.estimated_by_metric}):
        error = estimate_error(
            [
                (score.score_by_metric[metric], score.estimated_by_metric[metric], score.num_labelled)
                for score in scores
                if metric in score.score_by_metric and metric in score.estimated_by_metric
            ]
        )
        if error is None:
            continue
        yield Measurement(
            name="estimate_error_mean",
            help="Realised less estimated quality, over labelled rows since the champion came",
            value=error.bias,
            label_by_name={"metric": metric},
        )
        yield Measurement(
            name="estimate_error_mean_absolute",
            help="How far estimated quality was off in a cohort, over labelled rows since the champion came",
            value=error.mean_absolute,
            label_by_name={"metric": metric},
        )


def of_groups(
    cohorts: Sequence[CohortMatured], *, version: int, sensitive: Sequence[str] = ()
) -> Iterator[Measurement]:
    """Loss by group of every watched column, and the gaps between groups of sensitive ones, since the champion came."""
    total = groups.added([one.score_by_version[version].groups for one in cohorts if version in one.score_by_version])
    for column, by_group in total.items():
        for group, tally in by_group.items():
            yield from _of_group(tally, {"column": column, "group": group})
    for gap in groups.gaps({column: by_group for column, by_group in total.items() if column in sensitive}):
        of_gap = {"column": gap.column, "group": gap.group, "measure": gap.measure}
        yield Measurement(
            name="group_gap",
            help="A group's measure less that of all other rows, since the champion came",
            value=gap.difference,
            label_by_name=of_gap,
        )
        yield Measurement(
            name="group_gap_half_width",
            help="Half of the 95% interval of the gap, over all groups of the column at once, for one look",
            value=gap.half_width,
            label_by_name=of_gap,
        )


def _of_group(tally: GroupTally, of_group: Mapping[str, str]) -> Iterator[Measurement]:
    yield Measurement(
        name="group_rows",
        help="Labelled rows of the group since the champion came",
        value=tally.num_rows,
        label_by_name=of_group,
    )
    if tally.num_rows:
        yield Measurement(
            name="group_loss",
            help="The group's mean loss since the champion came",
            value=tally.loss_sum / tally.num_rows,
            label_by_name=of_group,
        )
