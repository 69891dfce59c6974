"""The quick toy with trees, and a search space for them."""

from dataclasses import replace

from heliostat import Between, Tuning
from tests import toy_trees

workload = replace(
    toy_trees.workload,
    name="forest",
    tuning=Tuning(
        space={
            "trees.depth": Between(1, 6, whole=True),
            "trees.learning_rate": Between(0.02, 0.5, log=True),
            "trees.row_share": Between(0.4, 1.0),
        },
        num_trials=4,
        max_concurrent=2,
    ),
)
