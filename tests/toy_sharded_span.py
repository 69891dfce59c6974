"""The toy of one or two workers, its network laid out over both where there are two."""

from dataclasses import replace

from tests import toy_span

workload = replace(toy_span.workload, training=replace(toy_span.workload.training, shard=True))
