"""Two shops whose customers come by the hour: forecasts of the next six hours, from the two days before."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa

from heliostat import Age, Category, Number, Quantity, Training, Vector, Workload
from heliostat.learn.forecast import forecast_network
from heliostat.learn.forecast_rows import forecast_rows

MONTHS = ("2024-01", "2024-02", "2024-03")
SHOPS = {"corner": 40.0, "station": 400.0}
HORIZON, DAY, LENGTH = 6, 24, 48


@dataclass(frozen=True)
class Customers:
    """Forecasts made every seventh hour, a month a part; the same numbers every time."""

    def parts(self) -> list[str]:
        """The months, in order of time."""
        return list(MONTHS)

    def read(self, part: str) -> pa.Table:
        """One month of forecasts of both shops with what came of them."""
        start = np.datetime64(part, "us")
        hours = int((np.datetime64(np.datetime64(part, "M") + 1, "us") - start) // np.timedelta64(1, "h"))
        at = start + np.arange(hours) * np.timedelta64(1, "h")
        made = [self._of_shop(shop, at, seed=MONTHS.index(part)) for shop in SHOPS]
        return pa.concat_tables(made).sort_by([("made_at", "ascending"), ("forecast", "ascending")])

    def _of_shop(self, shop: str, at: np.ndarray, *, seed: int) -> pa.Table:
        random = np.random.default_rng([17, seed, list(SHOPS).index(shop)])
        hour = np.arange(len(at)) % DAY
        customers = SHOPS[shop] * (1 + 0.8 * np.sin(2 * np.pi * hour / DAY) + random.normal(0, 0.05, len(at))).clip(
            0.01
        )
        rows = forecast_rows(
            pa.chunked_array([at]),
            pa.chunked_array([customers]),
            series=shop,
            spacing=timedelta(hours=1),
            length=LENGTH,
            steps=range(1, HORIZON + 1),
            every=7,
        )
        return rows.append_column("shop", pa.array([shop] * rows.num_rows))


window = Vector("window", LENGTH, low=0)
others = (Number("steps", 1, HORIZON), Number("minute_of_day", 0, 1440), Number("weekday", 0, 6), Category("shop"))
label = Quantity("value", low=0, unit="customers")

workload = Workload(
    name="series",
    source=Customers(),
    key="forecast",
    event_time="made_at",
    due_time="target_at",
    label_time="known_at",
    columns=(window, *others),
    label=label,
    **forecast_network(window, others, label, horizon=HORIZON, seasons=(DAY,), width=32, num_members=4),
    retrain_on=(Age(timedelta(days=60)),),
    training=Training(epochs=6, batch_size=64, learning_rate=1e-2),
)
