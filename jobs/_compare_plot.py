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
from heliostat.tasks.binary import HALF

NUM_SLICES = 15
OWN, OTHER = "tab:red", "tab:blue"


def draw(path: Path, rows: pa.Table, found: Comparison, *, title: str) -> None:
    """Write a PNG of the rows that `found` was made from."""
    figure = Figure(figsize=(13, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    answers, times, slices = figure.subplots(1, 3, width_ratios=[1, 1, 1.2])
    _draw_answers(answers, rows.filter(pc.and_(pc.is_valid(rows["own"]), pc.is_valid(rows["other"]))), found)
    _draw_times(times, rows, found)
    _draw_slices(slices, found)
    figure.suptitle(
        f"{title}: version {found.version} beside version {found.against}, {found.num_compared:,} live rows"
    )
    figure.savefig(path, dpi=110)


def _draw_answers(axes: Axes, both: pa.Table, found: Comparison) -> None:
    own, other = both["own"].to_numpy(), both["other"].to_numpy()
    counts = axes.hist2d(other, own, bins=50, range=[[0, 1], [0, 1]], cmap="Greys", norm="log", cmin=1)
    bar = axes.figure.colorbar(counts[3], ax=axes, label="rows", shrink=0.8, format="%g")
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    axes.plot([0, 1], [0, 1], color=OWN, linewidth=0.8)
    axes.axhline(HALF, color="0.6", linewidth=0.6, linestyle=":")
    axes.axvline(HALF, color="0.6", linewidth=0.6, linestyle=":")
    axes.set_xlabel(f"probability, version {found.against}")
    axes.set_ylabel(f"probability, version {found.version}")
    said = "no row" if found.agreement is None else f"{found.agreement:.1%} on the same side of 0.5"
    axes.set_title(f"answers: {said}", fontsize=10)


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
