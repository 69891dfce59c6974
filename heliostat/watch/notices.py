"""What a person should know about a window: serving sees other rows than training did, or a constant began to vary."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np

from heliostat.watch.calm import MIN_WINDOW_ROWS
from heliostat.watch.detector import surely_moved
from heliostat.watch.events import Alert, ChampionChanged, WindowClosed
from heliostat.watch.profile import NOT_INPUTS

SKEW_PSI = 0.25
SKEW_RUN_LENGTH = 1000  # promotions until the first false notice, on average


def is_first(window: WindowClosed, *, champion: ChampionChanged) -> bool:
    """Whether the window lies behind the promotion and holds enough rows to be compared with training."""
    return window.since >= champion.at and window.num_rows >= MIN_WINDOW_ROWS


def skewed(window: WindowClosed, *, at: datetime) -> Alert | None:
    """Says that right after its promotion a version was asked other rows than it was trained on; None if it was not.

    Time had none to move the world, so training and serving are likely to prepare rows differently.
    """
    inputs = {name: one for name, one in window.drift_by_column.items() if name not in NOT_INPUTS}
    known = {name: np.array([one.log_evidence]) for name, one in inputs.items() if np.isfinite(one.log_evidence).all()}
    moved = surely_moved(known, run_length=SKEW_RUN_LENGTH)
    effects = {name: round(inputs[name].effect, 4) for name in moved if inputs[name].effect > SKEW_PSI}
    if not effects:
        return None
    return Alert(
        reason=f"serving differs from training right after promotion of version {window.version}: {_listed(effects)} "
        f"(index beyond calm above {SKEW_PSI}); compare what callers send with what the source gives",
        detected_at=at,
        evidence={"notice": "skew", "excess_psi_by_column": effects, "num_rows": window.num_rows},
    )


def began_to_vary(window: WindowClosed, *, at: datetime) -> dict[str, Alert]:
    """By column, that it held one value in training and now holds others."""
    return {
        name: Alert(
            reason=f"column {name} held one value in training and now another in {drift.unseen or 0.0:.1%} of "
            f"{window.num_rows:,} rows; the model knows nothing of it",
            detected_at=at,
            evidence={"notice": "began_to_vary", "column": name, "unseen": drift.unseen},
        )
        for name, drift in window.drift_by_column.items()
        if drift.began_to_vary
    }


def _listed(effects: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {effect}" for name, effect in effects.items())
