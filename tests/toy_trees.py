"""The quick toy with boosted trees beside its network."""

from dataclasses import replace

from heliostat import Trees
from tests import toy_quick

workload = replace(
    toy_quick.workload,
    trees=Trees(rounds=60, patience=10, learning_rate=0.1, depth=3),
    training=replace(toy_quick.workload.training, windows=(None,)),
)
