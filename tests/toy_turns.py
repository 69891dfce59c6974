"""The toy with trees alone and all its history as the one window: quick to fit, and good at what it learned."""

from dataclasses import replace
from datetime import timedelta

from heliostat import Training, Trees
from heliostat.workload import no_encode, no_model
from tests import toy_quick

workload = replace(
    toy_quick.workload,
    encode=no_encode,
    model=no_model,
    trees=Trees(rounds=40, threads=1),
    training=Training(windows=(None,)),
    loop=replace(toy_quick.workload.loop, holdout_span=timedelta(days=21)),
)
