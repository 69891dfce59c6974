"""Draws a comparison of two versions: their answers against each other, their times, and the slices apart."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from heliostat.govern.comparison import Comparison
from heliostat.labels import Classes, Quantity
from heliostat.tasks import BINARY, Task
from heliostat.tasks.binary import HALF

NUM_SLICES = 15
OWN, OTHER = "tab:red", "tab:blue"


def draw(path: Path, rows: pa.Table, found: Comparison, *, title: str, task: Task = BINARY) -> None:
    """Write a PNG of the rows that `found` was made from."""
    figure = Figure(figsize=(13, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    answers, times, slices = figure.subplots(1, 3, width_ratios=[1, 1, 1.2])
    both = rows.filter(pc.and_(pc.is_valid(rows["own"]), pc.is_valid(rows["other"])))
    drawn = {"binary": _draw_probabilities, "classes": _draw_classes, "quantity": _draw_quantities}
    drawn[task.kind](answers, both, found, task)
    _draw_times(times, rows, found)
    _draw_slices(slices, found)
    figure.suptitle(
        f"{title}: version {found.version} beside version {found.against}, {found.num_compared:,} live rows"
    )
    figure.savefig(path, dpi=110)


def _draw_probabilities(axes: Axes, both: pa.Table, found: Comparison, _: Task) -> None:
    _draw_numbers(axes, both, low=0.0, high=1.0)
    axes.axhline(HALF, color="0.6", linewidth=0.6, linestyle=":")
    axes.axvline(HALF, color="0.6", linewidth=0.6, linestyle=":")
    axes.set_xlabel(f"probability, version {found.against}")
    axes.set_ylabel(f"probability, version {found.version}")
    said = "no row" if found.agreement is None else f"{found.agreement:.1%} on the same side of 0.5"
    axes.set_title(f"answers: {said}", fontsize=10)


def _draw_quantities(axes: Axes, both: pa.Table, found: Comparison, task: Task) -> None:
    said = pa.concat_arrays([column.combine_chunks() for column in (both["own"], both["other"])]).to_numpy()
    low, high = (float(said.min()), float(said.max())) if len(said) else (0.0, 1.0)
    _draw_numbers(axes, both, low=low, high=high if high > low else low + 1)
    unit = f", {task.label.unit}" if isinstance(task.label, Quantity) and task.label.unit else ""
    axes.set_xlabel(f"value{unit}, version {found.against}")
    axes.set_ylabel(f"value{unit}, version {found.version}")
    agreed = "no row" if found.agreement is None else f"{found.agreement:.1%} inside each other's interval"
    axes.set_title(f"answers: {agreed}", fontsize=10)


def _draw_classes(axes: Axes, both: pa.Table, found: Comparison, task: Task) -> None:
    names = [str(value) for value in task.label.values] if isinstance(task.label, Classes) else []
    place = {name: index for index, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)))
    for own, other in zip(both["own"].to_pylist(), both["other"].to_pylist(), strict=True):
        counts[place[own], place[other]] += 1
    image = axes.imshow(counts, cmap="Greys", origin="lower")
    axes.figure.colorbar(image, ax=axes, label="rows", shrink=0.8)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel(f"likeliest class, version {found.against}")
    axes.set_ylabel(f"likeliest class, version {found.version}")
    agreed = "no row" if found.agreement is None else f"{found.agreement:.1%} the same class"
    axes.set_title(f"answers: {agreed}", fontsize=10)


def _draw_numbers(axes: Axes, both: pa.Table, *, low: float, high: float) -> None:
    """How often the one version said this where the other said that."""
    own, other = both["own"].to_numpy(), both["other"].to_numpy()
    counts = axes.hist2d(other, own, bins=50, range=[[low, high], [low, high]], cmap="Greys", norm="log", cmin=1)
    bar = axes.figure.colorbar(counts[3], ax=axes, label="rows", shrink=0.8, format="%g")
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    axes.plot([low, high], [low, high], color=OWN, linewidth=0.8)


def _draw_times(axes: Axes, rows: pa.Table, found: Comparison) -> None:
    for name, color, number in (("own_ms", OWN, found.version), ("other_ms", OTHER, found.against)):
        values = np.sort(np.maximum(rows[name].drop_null().to_numpy(), 1e-3))
        if len(values):
            axes.plot(values, np.arange(1, len(values) + 1) / len(values), color=color, label=f"version {number}")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("model time of the row's batch, ms")
    axes.set_ylabel("share of rows")
    axes.set_title(f"time: {found.num_errors:,} errors of version {found.version}", fontsize=10)
    if axes.lines:
        axes.legend(loc="lower right", fontsize=9)


def _draw_slices(axes: Axes, found: Comparison) -> None:
    most = sorted(found.slices, key=lambda part: part.distance)[-NUM_SLICES:]
    axes.barh([f"{part.column} = {part.value}"[:34] for part in most], [part.distance for part in most], color="0.6")
    for place, part in enumerate(most):
        axes.text(part.distance, place, f" {part.num_rows:,} rows, {part.agreement:.0%}", va="center", fontsize=7)
    axes.margins(x=0.35)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("mean distance of the answers")
    axes.set_title("where they are most apart (rows, agreement)", fontsize=10)
