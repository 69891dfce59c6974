"""The quick toy, whose rows go through Ray Data to its workers."""

from dataclasses import replace

from tests import toy_quick

workload = replace(
    toy_quick.workload, training=replace(toy_quick.workload.training, stream=True, num_workers=2, checkpoint_steps=4)
)
