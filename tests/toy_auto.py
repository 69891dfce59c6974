"""The quick toy with nothing said of the model: trees and a network compete within the time that is given."""

from dataclasses import replace
from datetime import timedelta

from heliostat.learn.tabular import auto
from tests import toy_quick

workload = replace(toy_quick.workload, name="auto", **auto(toy_quick.workload.columns, fit_time=timedelta(minutes=10)))
