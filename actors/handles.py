"""How jobs and applications call the actors: by workload, with the actors' own methods."""

from typing import cast

from actors.catalog import CatalogActor
from actors.monitor import Monitor
from actors.proxy import Proxy, catalog
from actors.recorder import Recorder
from actors.steward import Steward
from cluster import names

__all__ = ["catalog", "monitor", "publisher", "recorder", "steward"]

PUBLISH_TIMEOUT_S = 180.0  # the first declaration starts Serve and its ingress
STEERING_TIMEOUT_S = 600.0  # longer than all that a steward itself waits for: monitor, catalog, replicas


def publisher() -> CatalogActor:
    """The catalog as the owner of Serve's declaration."""
    return cast(CatalogActor, Proxy(names.CATALOG, timeout_s=PUBLISH_TIMEOUT_S))


def recorder(workload: str) -> Recorder:
    """The recorder of one workload."""
    return cast(Recorder, Proxy(names.recorder(workload)))


def monitor(workload: str) -> Monitor:
    """The monitor of one workload."""
    return cast(Monitor, Proxy(names.monitor(workload)))


def steward(workload: str) -> Steward:
    """The steward of one workload."""
    return cast(Steward, Proxy(names.steward(workload), timeout_s=STEERING_TIMEOUT_S))
