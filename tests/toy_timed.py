"""The quick toy with an hour to fit its candidates in."""

from dataclasses import replace
from datetime import timedelta

from tests import toy_quick

workload = replace(toy_quick.workload, training=replace(toy_quick.workload.training, fit_time=timedelta(hours=1)))
