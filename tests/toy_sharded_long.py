"""The long toy, not quite as long, its network laid out over two workers."""

from dataclasses import replace

from tests import toy_long

workload = replace(toy_long.workload, training=replace(toy_long.workload.training, epochs=4, num_workers=2, shard=True))
