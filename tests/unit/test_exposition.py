from datetime import UTC, datetime, timedelta

from prometheus_client.parser import text_string_to_metric_families

from heliostat.watch.answers import LATENCY_EDGES_MS, Answers
from heliostat.watch.drift import ColumnDrift
from heliostat.watch.events import ChampionChanged, CohortMatured, CohortScore, ReferenceScore, WindowClosed
from heliostat.watch.exposition import exposition
from heliostat.watch.measurements import measurements

AT = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MEASURED = measurements(
    champion=ChampionChanged(
        at=AT,
        version=3,
        trained_until=AT - DAY,
        reference_by_metric={"log_loss": ReferenceScore(score=0.5, num_rows=9)},
    ),
    window=WindowClosed(
        since=AT, until=AT + DAY, version=3, num_rows=40, drift_by_column={"site": ColumnDrift(psi=0.4, floor=0.1)}
    ),
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
