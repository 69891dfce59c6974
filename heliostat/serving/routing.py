"""Which version answers which row: a pure function of the route and the row's key."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from heliostat.errors import ContractError
from heliostat.records import Route

Arm = Literal["champion", "candidate", "previous"]
_SCALE = 1 << 32


def route_of(record: Mapping[str, Any]) -> Route:
    """The route inside a routing record, whatever else the record holds; ContractError when it makes no sense."""
    route = Route(
        epoch=int(record["epoch"]),
        champion=_number(record.get("champion")),
        candidate=_number(record.get("candidate")),
        previous=_number(record.get("previous")),
        share=float(record.get("share") or 0.0),
    )
    if not 0.0 <= route.share <= 1.0:
        raise ContractError(f"The share of a route must lie between 0 and 1; got {route.share}.")
    if route.candidate is not None and route.champion is None:
        raise ContractError(f"Route {route.epoch} has candidate {route.candidate} and no champion; promote one first.")
    return route


def versions(route: Route) -> frozenset[int]:
    """Every version that a replica must hold ready."""
    return frozenset(v for v in (route.champion, route.candidate, route.previous) if v is not None)


def arm(route: Route, key: str) -> Arm:
    """The arm that answers for a key: always the same one while the candidate and its share stay.

    A larger share keeps every key that a smaller one gave to the same candidate.
    """
    if route.candidate is None or route.share <= 0.0:
        return "champion"
    digest = hashlib.blake2b(f"{route.candidate}/{key}".encode(), digest_size=4).digest()
    return "candidate" if int.from_bytes(digest) < route.share * _SCALE else "champion"


def arms_of(route: Route, keys: Sequence[str]) -> list[Arm]:
    """`arm` of each key."""
    if route.candidate is None or route.share <= 0.0:
        return ["champion"] * len(keys)
    return [arm(route, key) for key in keys]


def version_of(route: Route, which: Arm) -> int | None:
    """The version behind an arm."""
    return {"champion": route.champion, "candidate": route.candidate, "previous": route.previous}[which]


def arm_of(route: Route, version: int) -> Arm:
    """The arm under which a version that a caller named is logged."""
    if version == route.candidate:
        return "candidate"
    return "previous" if version == route.previous else "champion"


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
