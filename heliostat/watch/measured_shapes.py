"""How the values of each column lie, as numbers with names: quantiles, distance from training, distinct values."""

from collections.abc import Iterator, Mapping

from heliostat.watch.gauges import Gauge, Measurement
from heliostat.watch.profile import Profile
from heliostat.watch.quantiles import even_shares, wasserstein, wasserstein_floor
from heliostat.watch.sketches import LATENCY, QUANTILES, NumberSketch, Sketch, TextSketch

DISTINCT = Gauge(
    "column_distinct_values", "About how many different texts the newest window holds (HyperLogLog)", ("column",)
)
VALUE = Gauge(
    "column_value",
    "Quantiles of the newest window, in the column's own unit (KLL sketch)",
    ("column", "quantile"),
)
WASSERSTEIN = Gauge(
    "drift_wasserstein_deviations",
    "The distance of the newest window from the reference, in standard deviations of the reference",
    ("column",),
)
WASSERSTEIN_FLOOR = Gauge(
    "drift_wasserstein_noise_floor_deviations",
    "What as many independent rows show where nothing changed",
    ("column",),
)
LATENCY_QUANTILES = (0.5, 0.95, 0.99)
WINDOW_LATENCY = Gauge(
    "window_latency_seconds",
    "Quantiles over the rows of the newest window, from a request's arrival at the replica to its log row (KLL sketch)",
    ("quantile",),
)
REFERENCE_WINDOWS = Gauge(
    "reference_windows",
    "In how many windows the reference came: of fewer than 3 drift takes rows, and windows, as independent",
)


def of_reference(profile: Profile) -> Iterator[Measurement]:
    """How much is known of how windows scatter."""
    yield REFERENCE_WINDOWS.of(profile.num_windows)


def of_sketches(sketches: Mapping[str, Sketch], *, profile: Profile) -> Iterator[Measurement]:
    """The figures of one window's sketches, beside the profile's reference."""
    for name, sketch in sketches.items():
        if name == LATENCY and isinstance(sketch, NumberSketch):
            latencies = zip(LATENCY_QUANTILES, sketch.quantiles(LATENCY_QUANTILES).tolist(), strict=False)
            yield from (WINDOW_LATENCY.of(value_ms / 1000, f"{share:g}") for share, value_ms in latencies)
        elif isinstance(sketch, TextSketch):
            yield DISTINCT.of(sketch.shape.distinct or 0.0, name)
        else:
            yield from _of_number(name, sketch, profile=profile)


def _of_number(name: str, sketch: NumberSketch, *, profile: Profile) -> Iterator[Measurement]:
    shape = sketch.shape
    for share, value in zip(QUANTILES, shape.quantiles, strict=False):  # none for no values
        yield VALUE.of(value, name, f"{share:g}")
    reference, deviation = profile.quantiles_by_column.get(name, ()), profile.deviation_by_column.get(name, 0.0)
    found = wasserstein(sketch.quantiles(even_shares(len(reference)).tolist()), reference, deviation=deviation)
    if found is not None:
        yield WASSERSTEIN.of(found, name)
        yield WASSERSTEIN_FLOOR.of(wasserstein_floor(shape.num_values), name)
