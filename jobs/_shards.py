"""A worker's shard of an epoch: Ray Data reads and prepares its windows ahead, in order, while the worker learns.

Ray Train's own split deals blocks to whichever worker asks, drops what does not divide, and begins anew after a
restart. Which rows a worker gets here was decided before, so each has a dataset of its own that begins where it stands.
"""

import pickle
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import ray.data
from ray.data import DataContext, ExecutionResources, TaskPoolStrategy

from cluster import resources
from heliostat.learn.window_portions import Load, Portion

READ_AHEAD_BYTES = 256 * 1024 * 1024


def delivered(portions: Sequence[Portion], load: Load) -> Iterator[pa.Table]:
    """The prepared rows of each portion, in this order; a few portions are made ahead."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ExecutionResources.for_limits(object_store_memory=READ_AHEAD_BYTES)
    items = [{"portion": pickle.dumps(portion)} for portion in portions]
    rows = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        partial(_loaded, load=load),
        batch_size=1,
        batch_format="numpy",
        num_cpus=resources.SHARD_READ_CPUS,
        compute=TaskPoolStrategy(size=min(resources.SHARD_READERS, len(items))),
    )
    yield from rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)


def _loaded(batch: dict[str, np.ndarray], *, load: Load) -> Iterator[pa.Table]:
    return (load(pickle.loads(portion)) for portion in batch["portion"])
