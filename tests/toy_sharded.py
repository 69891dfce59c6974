"""The long toy, its network laid out over two workers."""

from dataclasses import replace

from tests import toy_long

workload = replace(toy_long.workload, training=replace(toy_long.workload.training, num_workers=2, shard=True))
