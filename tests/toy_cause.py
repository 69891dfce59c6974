"""What made a machine fail: one of three causes, asked of a network."""

from tests import toy_kinds

workload = toy_kinds.cause
