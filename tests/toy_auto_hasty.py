"""The same with no time at all: what is quick is fitted, and nothing after it."""

from dataclasses import replace
from datetime import timedelta

from tests import toy_auto

training = replace(toy_auto.workload.training, fit_time=timedelta(microseconds=1))
workload = replace(toy_auto.workload, training=training)
