"""A monitor's figures in Prometheus' text format: gauges, counters and a latency histogram, named with units."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from heliostat.watch.answers import LATENCY_EDGES_MS, Answers
from heliostat.watch.gauges import Measurement

PREFIX = "heliostat_"
DECISIONS = ("monitor_decisions", "Decisions of the monitor, by kind", "kind")
LABELS = ("labels", "Labels by what became of them, of days that are settled", "outcome")
FAILED = ("failed_requests", "Requests that were refused or failed, by HTTP status, as replicas told", "status")
Family = GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily


def exposition(
    workload: str,
    *,
    measured: Sequence[Measurement] = (),
    answers_by_version: Mapping[int, Answers] | None = None,
    num_by_decision: Mapping[str, int] | None = None,
    num_by_label_outcome: Mapping[str, int] | None = None,
    num_failed_by_status: Mapping[str, int] | None = None,
    is_up: bool = True,
) -> str:
    """The text that Prometheus reads; without figures it still says whether the monitor answers."""
    families = [
        _up(workload, is_up=is_up),
        *_gauges(workload, measured),
        *_answers(workload, answers_by_version or {}),
        _counter(workload, DECISIONS, num_by_decision or {}),
        _counter(workload, LABELS, num_by_label_outcome or {}),
        _counter(workload, FAILED, num_failed_by_status or {}),
    ]
    registry = CollectorRegistry()
    registry.register(_Once(families))
    return generate_latest(registry).decode()


class _Once(Collector):
    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def _up(workload: str, *, is_up: bool) -> Family:
    family = GaugeMetricFamily(
        PREFIX + "monitor_up", "1 when the monitor answered this scrape, 0 when it is away", labels=["workload"]
    )
    family.add_metric([workload], float(is_up))
    return family


def _gauges(workload: str, measured: Sequence[Measurement]) -> Iterator[Family]:
    by_name: dict[str, list[Measurement]] = {}
    for one in measured:
        by_name.setdefault(one.name, []).append(one)
    for name, group in by_name.items():
        labels = list(group[0].label_by_name)
        family = GaugeMetricFamily(PREFIX + name, group[0].help, labels=["workload", *labels])
        for one in sorted(group, key=lambda one: [*one.label_by_name.values()]):
            family.add_metric([workload, *(one.label_by_name[label] for label in labels)], one.value)
        yield family


def _answers(workload: str, answers_by_version: Mapping[int, Answers]) -> Iterator[Family]:
    labels = ["workload", "version"]
    rows = CounterMetricFamily(PREFIX + "prediction_rows", "Rows answered, as logged", labels=labels)
    degraded = CounterMetricFamily(
        PREFIX + "prediction_degraded_rows", "Rows that another than the assigned version answered", labels=labels
    )
    latency = HistogramMetricFamily(
        PREFIX + "prediction_latency_seconds", "From a request's arrival at the replica to its log row", labels=labels
    )
    for version, answers in sorted(answers_by_version.items()):
        of_version = [workload, str(version)]
        rows.add_metric(of_version, answers.num_rows)
        degraded.add_metric(of_version, answers.num_degraded)
        latency.add_metric(of_version, _buckets(answers), answers.latency_sum_ms / 1000)
    yield from (rows, degraded, latency)


def _buckets(answers: Answers) -> list[tuple[str, float]]:
    edges = [*(repr(edge / 1000) for edge in LATENCY_EDGES_MS), "+Inf"]
    total, buckets = 0, []
    for edge, num_rows in zip(edges, answers.num_by_latency, strict=True):
        total += num_rows
        buckets.append((edge, float(total)))
    return buckets


def _counter(workload: str, declared: tuple[str, str, str], num_by_label: Mapping[str, int]) -> Family:
    name, told, label = declared
    family = CounterMetricFamily(PREFIX + name, told, labels=["workload", label])
    for value, number in sorted(num_by_label.items()):
        family.add_metric([workload, value], number)
    return family
