"""How the values of each column lie, as numbers with names: quantiles, distance from training, distinct values."""

from collections.abc import Iterator, Mapping

from heliostat.watch.measured_quality import Measurement
from heliostat.watch.profile import Profile
from heliostat.watch.quantiles import even_shares, wasserstein, wasserstein_floor
from heliostat.watch.sketches import QUANTILES, NumberSketch, Sketch, TextSketch


def of_sketches(sketches: Mapping[str, Sketch], *, profile: Profile) -> Iterator[Measurement]:
    """The figures of one window's sketches, beside the profile's reference."""
    for name, sketch in sketches.items():
        if isinstance(sketch, TextSketch):
            yield from _of_text(name, sketch)
        else:
            yield from _of_number(name, sketch, profile=profile)


def _of_text(name: str, sketch: TextSketch) -> Iterator[Measurement]:
    yield Measurement(
        name="column_distinct_values",
        help="About how many different texts the newest window holds (HyperLogLog)",
        value=sketch.shape.distinct or 0.0,
        label_by_name={"column": name},
    )


def _of_number(name: str, sketch: NumberSketch, *, profile: Profile) -> Iterator[Measurement]:
    shape = sketch.shape
    for share, value in zip(QUANTILES, shape.quantiles, strict=False):  # none for no values
        yield Measurement(
            name="column_value",
            help="Quantiles of the newest window, in the column's own unit (KLL sketch)",
            value=value,
            label_by_name={"column": name, "quantile": f"{share:g}"},
        )
    reference, deviation = profile.quantiles_by_column.get(name, ()), profile.deviation_by_column.get(name, 0.0)
    found = wasserstein(sketch.quantiles(even_shares(len(reference)).tolist()), reference, deviation=deviation)
    if found is None:
        return
    yield Measurement(
        name="drift_wasserstein_deviations",
        help="The distance of the newest window from the reference, in standard deviations of the reference",
        value=found,
        label_by_name={"column": name},
    )
    yield Measurement(
        name="drift_wasserstein_noise_floor_deviations",
        help="What as many independent rows show where nothing changed",
        value=wasserstein_floor(shape.num_values),
        label_by_name={"column": name},
    )
