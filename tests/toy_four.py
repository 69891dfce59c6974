"""The quick toy, fitted by four workers together."""

from dataclasses import replace

from tests import toy_quick

workload = replace(toy_quick.workload, training=replace(toy_quick.workload.training, num_workers=4, windows=(None,)))
