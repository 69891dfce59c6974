"""Calls to a named actor: found by name each time, because it may have moved, with a time limit."""

import time
from typing import Any, cast

import ray

from cluster import names
from heliostat.errors import ClusterError, LostCallError
from heliostat.store.catalog import Catalog

CALL_TIMEOUT_S = 60.0  # an actor that was killed is back within seconds; a call that waits longer never ends
RESTART_S = 1.0
NUM_TRIES = 8
# Done twice they would leave two of something, or undo themselves. Every other change of the catalog says what shall
# be; only the notes that go with a state may then stand in the journal twice, and an ask heard twice is one ask.
NOT_TWICE = frozenset({"append", "create_key", "issue_key", "rollback"})


class Proxy:
    """Has the methods of a named actor, and waits for their answers."""

    def __init__(self, name: str, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._name = name
        self._timeout_s = timeout_s

    def __getattr__(self, method: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                handle = ray.get_actor(self._name, namespace=names.NAMESPACE)
            except ValueError as error:
                raise ClusterError(f"The actor {self._name!r} is not up. Start it: jobs.deploy.") from error
            try:
                return ray.get(getattr(handle, method).remote(*args, **kwargs), timeout=self._timeout_s)
            except ray.exceptions.RayActorError as error:
                raise LostCallError(
                    f"The actor {self._name!r} was lost while it answered {method}; Ray starts it anew. "
                    "Ask again: what it had stored is there."
                ) from error
            except ray.exceptions.GetTimeoutError as error:
                raise ClusterError(
                    f"The actor {self._name!r} did not answer {method} within {self._timeout_s:.0f} s. "
                    "See its log on the Ray dashboard; jobs.deploy starts it anew."
                ) from error

        return call


class InsistentProxy(Proxy):
    """Asks again when the actor was lost meanwhile, except for what must not be done twice."""

    def __getattr__(self, method: str) -> Any:
        ask = super().__getattr__(method)

        def call(*args: Any, **kwargs: Any) -> Any:
            for tries_left in reversed(range(1 if method in NOT_TWICE else NUM_TRIES)):
                try:
                    return ask(*args, **kwargs)
                except LostCallError:
                    if not tries_left:
                        raise
                    time.sleep(RESTART_S)
            raise AssertionError("unreachable: the last try returns or raises")

        return call


def catalog() -> Catalog:
    """The catalog, with the methods of `heliostat.store.catalog.Catalog`."""
    return cast(Catalog, InsistentProxy(names.CATALOG))
