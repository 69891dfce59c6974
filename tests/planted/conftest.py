"""The cluster of tests/cluster, for planted models that take minutes: `make test-planted`."""

from tests.cluster.conftest import installation, wait_until

__all__ = ["installation", "wait_until"]
