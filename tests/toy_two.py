"""The quick toy, fitted by two workers together."""

from dataclasses import replace

from tests import toy_quick

workload = replace(toy_quick.workload, training=replace(toy_quick.workload.training, num_workers=2, windows=(None,)))
