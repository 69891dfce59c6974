"""Quality as numbers with names: of matured cohorts, of what was estimated before, and between groups of rows."""

from collections.abc import Iterator, Sequence

from heliostat.tasks import Task
from heliostat.watch import groups
from heliostat.watch.estimates import ASSUMPTION, estimate_error
from heliostat.watch.events import CohortMatured, CohortScore
from heliostat.watch.gauges import Gauge, Measurement
from heliostat.watch.group_calibration import calibration_gaps
from heliostat.watch.group_estimates import ByGroup
from heliostat.watch.reliability import expected_calibration_error

COHORT_END = Gauge("cohort_end_timestamp_seconds", "The newest predictions whose labels have fallen due")
PREDICTIONS = Gauge("cohort_predictions", "Predictions in the newest matured cohort", ("version",))
COVERAGE = Gauge("cohort_coverage_ratio", "The share of the newest matured cohort that has a label", ("version",))
LABEL_DELAY = Gauge(
    "cohort_label_delay_seconds",
    "From the event to its label, over the labels of the newest matured cohort",
    ("version", "quantile"),
)
SCORE = Gauge("cohort_score", "Realised quality of the newest matured cohort", ("version", "metric"))
CALIBRATION_ERROR = Gauge(
    "cohort_expected_calibration_error",
    "Mean distance between what was said and what came, over fixed bins of the probability",
    ("version",),
)
RELIABILITY_ROWS = Gauge(
    "cohort_reliability_rows",
    "Labelled rows of the newest matured cohort whose probability lies in the bin",
    ("version", "up_to"),
)
PREDICTED = Gauge(
    "cohort_reliability_predicted_ratio", "The mean probability that was said in the bin", ("version", "up_to")
)
OBSERVED = Gauge("cohort_reliability_observed_ratio", "The share of positive labels in the bin", ("version", "up_to"))
ESTIMATE_BIAS = Gauge(
    "estimate_error_mean", "Realised less estimated quality, over labelled rows since the champion came", ("metric",)
)
ESTIMATE_DISTANCE = Gauge(
    "estimate_error_mean_absolute",
    "How far estimated quality was off in a cohort, over labelled rows since the champion came",
    ("metric",),
)
GROUP_ROWS = Gauge("group_rows", "Labelled rows of the group since the champion came", ("column", "group"))
GROUP_LOSS = Gauge("group_loss", "The group's mean loss since the champion came", ("column", "group"))
GROUP_GAP = Gauge(
    "group_gap",
    "A group's measure less that of all other rows, since the champion came",
    ("column", "group", "measure"),
)
GROUP_GAP_HALF_WIDTH = Gauge(
    "group_gap_half_width",
    "Half of the 95% interval of the gap, over all groups of the column at once, for one look",
    ("column", "group", "measure"),
)
GROUP_CALIBRATION = Gauge(
    "group_calibration_gap",
    "How much likelier the positive label, or a right answer, was called in the group than it came, since the champion",
    ("column", "group", "measure"),
)
GROUP_CALIBRATION_HALF_WIDTH = Gauge(
    "group_calibration_gap_half_width",
    "Half of the 95% interval of that gap, over all groups of the column at once, for one look",
    ("column", "group", "measure"),
)
GROUP_ESTIMATED_ROWS = Gauge(
    "group_window_rows", "Rows of the group that the version answered in the newest window", ("column", "group")
)
GROUP_ESTIMATED = Gauge(
    "group_estimated_score",
    f"Quality of the group in the newest window before its labels arrive; assumes {ASSUMPTION}",
    ("column", "group", "metric"),
)


def of_cohort(cohort: CohortMatured) -> Iterator[Measurement]:
    """The newest cohort: how many, with how many labels, how old those were, and realised quality, by version."""
    yield COHORT_END.at(cohort.until)
    for version, score in cohort.score_by_version.items():
        yield from _of_score(score, str(version))


def _of_score(score: CohortScore, version: str) -> Iterator[Measurement]:
    yield PREDICTIONS.of(score.num_predictions, version)
    yield COVERAGE.of(score.coverage, version)
    for quantile, seconds in score.label_delay_s.items():
        yield LABEL_DELAY.of(seconds, version, quantile)
    for metric, value in score.score_by_metric.items():
        yield SCORE.of(value, version, metric)
    if score.reliability:
        yield CALIBRATION_ERROR.of(expected_calibration_error(score.reliability), version)
    for one in score.reliability:
        up_to = f"{one.until:g}"
        yield RELIABILITY_ROWS.of(one.num_rows, version, up_to)
        yield PREDICTED.of(one.predicted, version, up_to)
        yield OBSERVED.of(one.observed, version, up_to)


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
        if error is not None:
            yield ESTIMATE_BIAS.of(error.bias, metric)
            yield ESTIMATE_DISTANCE.of(error.mean_absolute, metric)


def of_groups(
    cohorts: Sequence[CohortMatured], *, version: int, sensitive: Sequence[str] = ()
) -> Iterator[Measurement]:
    """Loss and calibration by group of watched columns, and gaps between groups of sensitive ones, since it came."""
    total = groups.added([one.score_by_version[version].groups for one in cohorts if version in one.score_by_version])
    for column, by_group in total.items():
        for group, tally in by_group.items():
            yield GROUP_ROWS.of(tally.num_rows, column, group)
            if tally.num_rows:
                yield GROUP_LOSS.of(tally.loss_sum / tally.num_rows, column, group)
    for one in calibration_gaps(total):
        yield GROUP_CALIBRATION.of(one.difference, one.column, one.group, one.measure)
        yield GROUP_CALIBRATION_HALF_WIDTH.of(one.half_width, one.column, one.group, one.measure)
    for gap in groups.gaps({column: by_group for column, by_group in total.items() if column in sensitive}):
        yield GROUP_GAP.of(gap.difference, gap.column, gap.group, gap.measure)
        yield GROUP_GAP_HALF_WIDTH.of(gap.half_width, gap.column, gap.group, gap.measure)


def of_estimated_groups(found: ByGroup, *, task: Task) -> Iterator[Measurement]:
    """What answers of the newest window expect of themselves, by group."""
    for column, by_group in found.items():
        for group, tally in by_group.items():
            yield GROUP_ESTIMATED_ROWS.of(tally.num_rows, column, group)
            for metric, value in tally.scores(task).items():
                yield GROUP_ESTIMATED.of(value, column, group, metric)
