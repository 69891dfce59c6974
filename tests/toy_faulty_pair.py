"""The faulty toy, fitted by two workers."""

from dataclasses import replace

from tests import toy_faulty

workload = replace(toy_faulty.workload, training=replace(toy_faulty.workload.training, num_workers=2))
