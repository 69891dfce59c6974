"""The toy with a vector and a text beside its columns, and the network for tables of all kinds."""

from dataclasses import replace

from heliostat import Text, Training, Vector
from heliostat.learn.tabular import network
from tests import toy

COLUMNS = (*toy.workload.columns, Vector("spectrum", 3), Text("note", num_buckets=64))
workload = replace(toy.workload, columns=COLUMNS, **network(COLUMNS), training=Training(epochs=2, batch_size=64))
