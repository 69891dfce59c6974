"""Become a client of the running cluster: from a job, or from a program beside it."""

import logging

import ray
from ray._private import ray_constants
from ray._raylet import Config  # type: ignore[attr-defined]

from cluster import dashboard
from cluster.environment import cluster_address, enter_client_environment, inside_cluster
from cluster.names import NAMESPACE
from heliostat.errors import ClusterError
from heliostat.settings import Settings


def connect(settings: Settings, namespace: str = NAMESPACE) -> None:
    """`ray` is connected to the cluster in that namespace; raises ClusterError in seconds if it cannot be."""
    if ray.is_initialized():
        return
    if not inside_cluster():
        # Asked first, because Ray itself tries for 40 s and then does not say what is missing.
        dashboard.request(settings, "/api/version")
        _become_client(settings)
    try:
        ray.init(address=cluster_address(settings), namespace=namespace, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError) as error:
        raise ClusterError(
            f"Ray at {cluster_address(settings)} cannot be joined ({error}): is it the same version of Ray, "
            "and on this machine?"
        ) from error


def _become_client(settings: Settings) -> None:
    enter_client_environment(settings)
    # Ray read its environment when it was imported, before we could set it. These two lines make it look again:
    # at the token (as `ray.init` does itself when it turns tokens on), and at loopback instead of the machine's
    # outer address, where nothing of this cluster listens.
    Config.initialize("")
    ray_constants.ENABLE_RAY_CLUSTER = False
