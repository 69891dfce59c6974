"""The toy workload with few rows and few epochs: a whole run of fits in a fraction of a second."""

from dataclasses import replace
from datetime import timedelta

from heliostat import Loop
from tests import toy

workload = replace(
    toy.workload,
    source=toy.Machines(rows_per_part=600),
    training=replace(toy.workload.training, epochs=2, windows=(None, timedelta(days=35))),
    loop=Loop(
        follow_ups=True,
        cooldown=timedelta(days=14),
        canary_span=timedelta(days=7),
        window=timedelta(days=3),
        min_holdout_rows=100,
    ),
)
