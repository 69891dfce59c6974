"""Draws a simulation: the score by tenth of the rows for every policy, with the turns of the loop."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from heliostat.simulate.outcome import LOOP, NUM_DECILES, Outcome
from jobs._simulation_text import TITLE_BY_POLICY

STYLE_BY_POLICY = {
    "never": {"color": "tab:blue", "linestyle": "--"},
    "schedule_5%": {"color": "0.3"},
    "schedule_10%": {"color": "0.55"},
    "schedule_20%": {"color": "0.8"},
    "schedule_5%_recent": {"color": "0.3", "linestyle": ":"},
    "schedule_10%_recent": {"color": "0.55", "linestyle": ":"},
    "schedule_20%_recent": {"color": "0.8", "linestyle": ":"},
    "even": {"color": "tab:orange"},
    "loop": {"color": "tab:red", "linewidth": 2.5},
}


def draw(path: Path, found: Outcome, *, first_rows: int, title: str) -> None:
    """Write a PNG: above, the score; below, the loss; thin lines are the turns of the loop (dotted: not promoted)."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    middle = first_rows + (np.arange(NUM_DECILES) + 0.5) / NUM_DECILES * (found.num_rows - first_rows)
    for policy, style in STYLE_BY_POLICY.items():
        scores, name = found.scores[policy], TITLE_BY_POLICY[policy]
        above.plot(middle, scores.decile_score, label=name, marker=".", **style)  # type: ignore[arg-type]
        below.plot(middle, scores.decile_loss, marker=".", **style)  # type: ignore[arg-type]
    for turn in found.accounts[LOOP].turns:
        dash = "-" if turn.outcome.startswith("promoted") else ":"
        for axes in (above, below):
            axes.axvline(turn.row, color="tab:red", alpha=0.4, linewidth=1, linestyle=dash)
    above.set_title(f"{title}: would the loop pay? Thin red lines: its turns (dotted: not promoted)")
    above.set_ylabel(f"{found.task.score.title} (higher is better)")
    below.set_ylabel(f"{found.task.loss.title} (lower is better)")
    below.set_xlabel("row")
    above.legend(loc="best", fontsize=9)
    figure.savefig(path, dpi=110)
