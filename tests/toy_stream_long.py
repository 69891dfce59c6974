"""The long toy, whose rows go through Ray Data to one worker: long enough to be killed in."""

from dataclasses import replace

from tests import toy_long

workload = replace(toy_long.workload, training=replace(toy_long.workload.training, epochs=3, stream=True))
