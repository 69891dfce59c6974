"""The cluster of tests/cluster, for tests of training that take minutes: `make test-training`."""

from tests.cluster.conftest import installation, wait_until

__all__ = ["installation", "wait_until"]
