"""Streams of answers and labels: a calibrated model, and then the world moves while its answers stay."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import river.drift
import river.drift.binary
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import ndtr
from scipy.stats import ks_2samp

from heliostat.metrics import log_loss, log_losses
from heliostat.tasks.expected import expected
from heliostat.triggers import Decay
from heliostat.watch.drift import psi
from heliostat.watch.events import ChampionChanged, CohortMatured, CohortScore, Retrain
from heliostat.watch.monitor import MonitorState
from heliostat.watch.reference import loss_reference

Values = NDArray[np.float64]
BLOCK_ROWS, REFERENCE_ROWS, WINDOW_ROWS = 100, 2000, 1000
START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RHOS = (0.0, 0.5, 0.9)  # autocorrelation of what decides the labels
# After the change true logits are the answered ones times this.
SHRINKS = {"shrunk to 70%": 0.7, "shrunk to 40%": 0.4, "no skill left": 0.0, "reversed": -1.0}
CALM_ROWS = SHIFTED_ROWS = 5000
TRIGGER = Decay(log_loss, margin=0.01, min_rows=1)  # at most 1 false alarm in 1000 blocks: 10 in 10^6 rows


def stream(num_rows: int, *, rho: float, seed: int, change_at: int | None = None, shrink: float = 1.0) -> Any:
    """(answers, labels): right on average until the change; labels near in time are alike where rho is above 0."""
    random = np.random.default_rng(seed)
    answers = random.beta(1.0, 2.0, num_rows).clip(0.005, 0.995)
    logits = np.log(answers / (1 - answers))
    is_late = np.arange(num_rows) >= (num_rows if change_at is None else change_at)
    truth = 1 / (1 + np.exp(-np.where(is_late, shrink, 1.0) * logits))
    noise = lfilter([np.sqrt(1 - rho**2)], [1, -rho], random.normal(size=num_rows + 500))[500:]
    return answers, (ndtr(noise) < truth).astype(np.float64)


def ours(answers: Values, labels: Values) -> Iterator[int]:
    """The rows after which the live monitor asks for a turn; after each it starts anew."""
    known = loss_reference(
        labels[:REFERENCE_ROWS], answers[:REFERENCE_ROWS], blocks=np.arange(REFERENCE_ROWS) // BLOCK_ROWS
    )
    state, version = MonitorState([TRIGGER]), 1
    state.handle(_champion(version, START, known))
    for row in range(REFERENCE_ROWS, len(labels) - BLOCK_ROWS + 1, BLOCK_ROWS):
        rows = slice(row, row + BLOCK_ROWS)
        losses = {log_loss.name: float(log_losses(labels[rows], answers[rows]).mean())}
        score = CohortScore(
            num_predictions=BLOCK_ROWS,
            num_labelled=BLOCK_ROWS,
            score_by_metric=losses,
            expected=expected(answers[rows]),
        )
        since = START + (row // BLOCK_ROWS) * DAY
        decisions = state.handle(CohortMatured(since=since, until=since + DAY, score_by_version={version: score}))
        if any(isinstance(one, Retrain) for one in decisions):
            yield row + BLOCK_ROWS
            version += 1
            state.handle(_champion(version, since + DAY, known))


def _champion(version: int, at: datetime, known: Any) -> ChampionChanged:
    return ChampionChanged(at=at, version=version, trained_until=at, reference_by_metric={log_loss.name: known})


def of_river(made: Callable[[], Any], *, is_loss: bool = False) -> Callable[[Values, Values], Iterator[int]]:
    """One of river's detectors on wrong answers (0, 1), or on the losses; it starts itself anew after an alarm."""

    def watch(answers: Values, labels: Values) -> Iterator[int]:
        values = log_losses(labels, answers) if is_loss else ((answers > 0.5) != (labels > 0.5)).astype(float)
        detector = made()
        for row, value in enumerate(values.tolist(), start=1):
            detector.update(value if is_loss else int(value))
            if detector.drift_detected and row > REFERENCE_ROWS:
                yield row

    return watch


def windowed(is_drift: Callable[[Values, Values], bool]) -> Callable[[Values, Values], Iterator[int]]:
    """A test of the losses of each window against those of the reference."""

    def watch(answers: Values, labels: Values) -> Iterator[int]:
        losses = log_losses(labels, answers)
        reference = losses[:REFERENCE_ROWS]
        for row in range(REFERENCE_ROWS, len(losses) - WINDOW_ROWS + 1, WINDOW_ROWS):
            if is_drift(reference, losses[row : row + WINDOW_ROWS]):
                yield row + WINDOW_ROWS

    return watch


def index(reference: Values, current: Values) -> float:
    """The population stability index over tenths of the reference."""
    cuts = np.quantile(reference, np.arange(1, 10) / 10)
    counts = [np.bincount(np.searchsorted(cuts, values), minlength=10) for values in (reference, current)]
    return psi(*counts)


DETECTORS: dict[str, Callable[[Values, Values], Iterator[int]]] = {
    "heliostat Decay (declared: 10)": ours,
    "river ADWIN": of_river(river.drift.ADWIN),
    "river PageHinkley": of_river(river.drift.PageHinkley),
    "river HDDM_A": of_river(river.drift.binary.HDDMA),
    "river HDDM_W": of_river(river.drift.binary.HDDMW),
    "river KSWIN, losses": of_river(lambda: river.drift.KSWIN(seed=0), is_loss=True),
    "river KSWIN, losses, windows of 1,000": of_river(
        lambda: river.drift.KSWIN(alpha=0.0001, window_size=1000, stat_size=300, seed=0), is_loss=True
    ),
    "PSI 0.2, losses, windows of 1,000": windowed(lambda reference, current: index(reference, current) > 0.2),
    "KS p < 0.05, losses, windows of 1,000": windowed(
        lambda reference, current: bool(ks_2samp(reference, current).pvalue < 0.05)
    ),
}


def false_alarms(*, num_rows: int) -> dict[str, dict[str, float]]:
    """Alarms per 10^6 rows where nothing changes, by how alike neighbouring labels are."""
    found: dict[str, dict[str, float]] = {}
    for name, watch in DETECTORS.items():
        length = num_rows // 10 if "KSWIN" in name else num_rows  # it is a thousand times slower than the others
        found[name] = {
            f"rho {rho}": 1e6 * len(list(watch(*stream(length, rho=rho, seed=1)))) / (length - REFERENCE_ROWS)
            for rho in RHOS
        }
    return found


def delays(*, num_streams: int) -> dict[str, dict[str, str]]:
    """Median rows from the change to the first alarm after it, and the share seen, for independent labels."""
    return {
        name: {
            shift: _delay(watch, shrink, max(1, num_streams // 10) if "KSWIN" in name else num_streams)
            for shift, shrink in SHRINKS.items()
        }
        for name, watch in DETECTORS.items()
    }


def _delay(watch: Callable[[Values, Values], Iterator[int]], shrink: float, num_streams: int) -> str:
    change_at = REFERENCE_ROWS + CALM_ROWS
    seen: list[float] = []
    for seed in range(100, 100 + num_streams):
        played = stream(change_at + SHIFTED_ROWS, rho=0.0, seed=seed, change_at=change_at, shrink=shrink)
        seen.append(next((row - change_at for row in watch(*played) if row > change_at), np.inf))
    share = np.isfinite(seen).mean()
    return f"{np.median(seen):,.0f} ({share:.0%})"
