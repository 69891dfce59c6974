import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from heliostat.watch.answers import LATENCY_EDGES_MS, Answers
from heliostat.watch.awaited import Awaited
from heliostat.watch.bins import CategoryBins
from heliostat.watch.delays import Maturity
from heliostat.watch.drift import ColumnDrift
from heliostat.watch.events import ChampionChanged, CohortMatured, CohortScore, ReferenceScore, WindowClosed
from heliostat.watch.exposition import exposition
from heliostat.watch.gauges import Gauge
from heliostat.watch.groups import tallies
from heliostat.watch.measurements import measurements
from heliostat.watch.reliability import reliability

AT = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW = WindowClosed(
    since=AT,
    until=AT + DAY,
    version=3,
    num_rows=40,
    drift_by_column={"site": ColumnDrift(psi=0.4, floor=0.1, unseen=0.02)},
)
MEASURED = measurements(
    champion=ChampionChanged(
        at=AT,
        version=3,
        trained_until=AT - DAY,
        reference_by_metric={"log_loss": ReferenceScore(score=0.5, num_rows=9)},
    ),
    window=WINDOW,
    cohort=CohortMatured(
        since=AT,
        until=AT + DAY,
        score_by_version={3: CohortScore(num_predictions=10, num_labelled=8, score_by_metric={"log_loss": 0.6})},
    ),
    clock=AT + DAY,
)


def sample(text, name, **labels):
    found = [
        one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.name == name and labels.items() <= one.labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def test_a_client_of_prometheus_reads_what_the_monitor_knows():
    text = exposition("toy", measured=MEASURED, num_by_decision={"alert": 2})
    assert sample(text, "heliostat_monitor_up", workload="toy") == 1
    assert sample(text, "heliostat_champion_version") == 3
    assert sample(text, "heliostat_champion_trained_until_timestamp_seconds") == (AT - DAY).timestamp()
    assert sample(text, "heliostat_drift_population_stability_index", column="site") == 0.4
    assert sample(text, "heliostat_cohort_coverage_ratio", version="3") == 0.8
    assert sample(text, "heliostat_cohort_score", metric="log_loss") == 0.6
    assert sample(text, "heliostat_monitor_decisions_total", kind="alert") == 2


def test_estimated_quality_its_error_calibration_and_gaps_are_told_with_few_labels():
    labels, p = np.array([1.0, 0.0] * 50), np.array([0.75, 0.25] * 50)
    table = pa.table({"site": ["a"] * 40 + ["b"] * 60})
    score = CohortScore(
        num_predictions=100,
        num_labelled=100,
        score_by_metric={"log_loss": 0.3},
        estimated_by_metric={"log_loss": 0.5},
        reliability=reliability(labels, p),
        groups=tallies(table, [CategoryBins(name="site", levels=("a", "b"))], labels=labels, answers=p),
        label_delay_s={"0.5": 3600.0},
    )
    cohort = CohortMatured(since=AT, until=AT + DAY, score_by_version={3: score})
    told = measurements(
        champion=ChampionChanged(at=AT, version=3, trained_until=AT - DAY),
        window=replace(WINDOW, estimated_by_metric={"auc": 0.8}, num_answered=40),
        cohort=cohort,
        clock=AT + DAY,
        first=WINDOW,
        since_champion=[cohort],
        sensitive=("site",),
        awaited=Awaited(newest_event_at=AT + DAY / 2, maturity=Maturity(after=DAY, coverage=0.9)),
    )
    text = exposition("toy", measured=told)
    assert sample(text, "heliostat_estimated_score", metric="auc") == 0.8
    assert sample(text, "heliostat_estimate_error_mean", metric="log_loss") == pytest.approx(-0.2)
    assert sample(text, "heliostat_cohort_expected_calibration_error", version="3") == pytest.approx(0.25)
    assert sample(text, "heliostat_cohort_reliability_rows", up_to="0.8") == 50
    assert sample(text, "heliostat_cohort_label_delay_seconds", quantile="0.5") == 3600
    assert sample(text, "heliostat_group_rows", column="site", group="a") == 40
    assert sample(text, "heliostat_group_gap", group="a", measure="loss") == pytest.approx(0.0, abs=1e-9)
    assert sample(text, "heliostat_skew_population_stability_index", column="site") == pytest.approx(0.3)
    assert sample(text, "heliostat_column_unseen_ratio", column="site") == 0.02
    assert sample(text, "heliostat_label_delay_estimate_seconds") == DAY.total_seconds()
    assert sample(text, "heliostat_label_coverage_estimate_ratio") == 0.9
    assert sample(text, "heliostat_prediction_newest_event_timestamp_seconds") == (AT + DAY / 2).timestamp()


def test_every_exported_figure_is_in_the_documentation():
    documented = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    source = Path(__file__).parents[2] / "heliostat" / "watch"
    names = {name for file in source.glob("*.py") for name in re.findall(r'Gauge\(\s*"([a-z_]+)"', file.read_text())}
    assert len(names) > 40
    assert sorted(name for name in names if f"`heliostat_{name}`" not in documented) == []


def test_a_figure_is_told_with_the_labels_that_it_declares_or_not_at_all():
    gauge = Gauge("group_loss", "The group's mean loss", ("column", "group"))
    assert gauge.of(0.5, "site", "alpha").label_by_name == {"column": "site", "group": "alpha"}
    with pytest.raises(ValueError, match="zip"):
        gauge.of(0.5, "site")


def test_latency_is_a_cumulative_histogram_in_seconds():
    answers = Answers(num_rows=3, latency_sum_ms=30.0, num_by_latency=(1, *[0] * (len(LATENCY_EDGES_MS) - 1), 2))
    text = exposition("toy", answers_by_version={3: answers})
    name = "heliostat_prediction_latency_seconds"
    assert sample(text, f"{name}_bucket", le="0.00025") == 1
    assert sample(text, f"{name}_bucket", le="+Inf") == sample(text, f"{name}_count") == 3
    assert sample(text, f"{name}_sum") == 0.03


def test_an_absent_monitor_is_a_figure_of_its_own():
    text = exposition("toy", is_up=False)
    assert sample(text, "heliostat_monitor_up", workload="toy") == 0


def test_before_the_first_champion_only_the_clock_is_told():
    told = measurements(champion=None, window=None, cohort=None, clock=AT)
    assert [one.name for one in told] == ["monitor_clock_timestamp_seconds"]
