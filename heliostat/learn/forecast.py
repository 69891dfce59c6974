"""Forecasts some steps ahead of a series: the window of its last values, how many steps, and what is known of then.

A row is one forecast: made at an instant, for a number of steps later. One network learns all series and all steps. It
is a line from the window for each number of steps (as DLinear: Zeng et al., AAAI 2023) and, for what lines cannot say,
members that share weights (`tabular`), both in units of the window's own level and spread (as reversible instance
normalisation: Kim et al., ICLR 2022), so that a series that has grown is forecast as it was when it was small.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from heliostat.columns import Column, Text, Vector
from heliostat.errors import WorkloadError
from heliostat.labels import Quantity
from heliostat.learn import tabular
from heliostat.learn.network import Standardise, tensor
from heliostat.workload import Batch, Encoded

STEPS = "steps"
SHAPE = "shape"
RECENT = 12
SMALLEST_SPREAD = 0.05  # in standard deviations of all values: a window that stands still is not blown up


class ForecastNetwork(nn.Module):
    """One quantity a row: the window's level, and its spread times what a line and an ensemble say."""

    def __init__(
        self,
        learned: Mapping[str, int],
        window: Vector,
        others: Sequence[Column],
        label: Quantity,
        *,
        horizon: int,
        seasons: Sequence[int] = (),
        recent: int = RECENT,
        **options: Any,
    ) -> None:
        super().__init__()
        self.window, self.seasons, self.recent = window.name, tuple(seasons), min(recent, window.length)
        self.values = Standardise(1)
        self.lines = nn.Embedding(horizon + 1, window.length)
        nn.init.zeros_(self.lines.weight)
        seen = Vector(SHAPE, self.recent + len(self.seasons) + 2)
        # Windows are learned by heart unless parts of them are hidden, though a quantity is asked for.
        noise = {"hide": tabular.NOISE, "dropout": tabular.NOISE}
        self.rest = tabular.TabularEnsemble(learned, [*others, seen], label, **{**noise, **options})
        # Labels are told in units of their own, which differ a little from those of the windows.
        self.stretch, self.shift = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

    def forward(self, encoded: Mapping[str, Tensor]) -> Tensor:
        """Quantities, shape (num_rows,), from what the encode of `forecast_network` gives."""
        window, steps = encoded[tabular.shown_as(self.window)], encoded[STEPS]
        missing = torch.isnan(window)
        values = self.values(window.reshape(-1, 1), missing.reshape(-1, 1)).reshape(window.shape)
        level = values.mean(1, keepdim=True)
        spread = values.std(1, correction=0, keepdim=True).clamp(min=SMALLEST_SPREAD)
        shape = (values - level) / spread
        # The lines see the whole window; the members would learn it by heart.
        newest = shape[:, shape.shape[1] - self.recent :]
        seen = torch.cat([newest, *self._a_season_before(shape, steps), level, spread], dim=1)
        said = (self.lines(steps) * shape).sum(1) + self.rest({**encoded, SHAPE: seen})
        forecast = level.squeeze(1) + spread.squeeze(1) * said
        quantities: Tensor = (1 + self.stretch) * forecast + self.shift
        return quantities

    def _a_season_before(self, shape: Tensor, steps: Tensor) -> list[Tensor]:
        """For each season the newest value of the window that lies whole seasons before what is forecast."""
        length = shape.shape[1]
        ahead = steps.unsqueeze(1)
        return [shape.gather(1, length - 1 + ahead - season * -(-ahead // season)) for season in self.seasons]


def forecast_network(
    window: Vector,
    others: Sequence[Column],
    label: Quantity,
    *,
    horizon: int,
    seasons: Sequence[int] = (),
    recent: int = RECENT,
    **options: Any,
) -> dict[str, Any]:
    """What `Workload(columns=[window, *others], **forecast_network(...))` needs for forecasts of 1 to `horizon` steps.

    `window` holds the values up to when the forecast is made, the newest last. `others` has the `Number("steps", ...)`
    that says how far ahead, and what is known of then (hour, weekday, holiday). `seasons` are lengths in steps after
    which the series is like itself, none longer than the window. `options` are those of `TabularEnsemble`.
    """
    numbers, _, vectors = tabular.by_kind(others)
    if STEPS not in numbers or vectors or any(isinstance(column, Text) for column in others):
        raise WorkloadError(
            f"A forecast of {window.name!r} has the other columns {[column.name for column in others]}; they must be "
            f"numbers and categories, one of them Number({STEPS!r}, 1, {horizon})."
        )
    _refuse_unfit(window, horizon=horizon, seasons=seasons, recent=recent)
    table = tabular.network(others, label)

    def encode(batch: Batch) -> Encoded:
        """The window as it is, the others side by side, and the steps as whole numbers from 1 to `horizon`."""
        steps = torch.from_numpy(batch[STEPS].round().astype("int64")).clamp(1, horizon)
        return {**table["encode"](batch), tabular.shown_as(window.name): tensor(batch[window.name]), STEPS: steps}

    def model(learned: Mapping[str, int]) -> nn.Module:
        """A fresh network for what training saw."""
        given: dict[str, Any] = {"horizon": horizon, "seasons": seasons, "recent": recent}
        return ForecastNetwork(learned, window, others, label, **given, **options)

    return {"encode": encode, "model": model}


def _refuse_unfit(window: Vector, *, horizon: int, seasons: Sequence[int], recent: int) -> None:
    if horizon < 1 or recent < 1 or min(seasons, default=1) < 1 or max(seasons, default=1) > window.length:
        raise WorkloadError(
            f"A forecast of {window.name!r} with horizon={horizon}, seasons={tuple(seasons)} and recent={recent}: all "
            f"must be at least 1, and no season longer than the window's {window.length} values."
        )
