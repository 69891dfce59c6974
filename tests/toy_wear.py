"""How much a machine wears: a quantity, asked of a network."""

from tests import toy_kinds

workload = toy_kinds.wear
