"""A workload with a column of every kind, and a quantity as its label: what an OpenAPI document has to describe."""

from dataclasses import replace

from heliostat import Category, Text, Trees, Vector
from heliostat.declared.training import Training
from heliostat.workload import no_encode, no_model
from tests import toy_kinds

workload = replace(
    toy_kinds.wear,
    name="described",
    columns=(
        *toy_kinds.wear.columns,
        Category("line", closed=("north", "south"), optional=True),
        Vector("spectrum", 8, low=-10, high=10, optional=True),
        Text("note", max_length=200, optional=True),
    ),
    encode=no_encode,
    model=no_model,
    trees=Trees(rounds=5, depth=2),
    training=Training(),
)
