"""The quick toy, its network laid out over two workers, with checkpoints inside an epoch."""

from dataclasses import replace

from tests import toy_quick

OPTIONS = {"batch_size": 64, "checkpoint_steps": 4, "windows": (None,), "num_workers": 2, "shard": True}
workload = replace(toy_quick.workload, training=replace(toy_quick.workload.training, **OPTIONS))
