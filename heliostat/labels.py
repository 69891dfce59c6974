"""What a workload's label can be: one of two, one of several classes, or a quantity."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from heliostat.errors import WorkloadError
from heliostat.typed import refuse_wrong_types


@dataclass(frozen=True)
class Binary:
    """A label that is 0 or 1; answered by the probability of 1."""

    name: str

    def __post_init__(self) -> None:
        refuse_wrong_types(self)


@dataclass(frozen=True)
class Classes:
    """A label that is one of `values`, all texts or all integers; answered by a probability for each.

    Tables hold the place of a value in `values`: add new ones at the end, and leave the others where they are.
    """

    name: str
    values: tuple[str, ...] | tuple[int, ...]

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        kinds = {type(value) for value in self.values}
        if len(self.values) < 2 or len(set(self.values)) < len(self.values) or kinds not in ({str}, {int}):
            raise WorkloadError(
                f"Classes({self.name!r}, values={self.values!r}): give at least two different values, all texts or "
                "all integers."
            )


@dataclass(frozen=True)
class Quantity:
    """A label that is a number from `low` to `high` (both allowed, None: no bound), such as minutes or euros.

    It is answered by a value and an interval that should hold the label for the share `coverage` of all rows; neither
    leaves the bounds. `unit` is shown to people.
    """

    name: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    coverage: float = 0.9

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        low, high = self.bounds
        if not low < high:
            raise WorkloadError(f"{self}: low must be below high; None means no bound.")
        if not 0 < self.coverage < 1:
            raise WorkloadError(f"{self}: coverage must lie between 0 and 1.")

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value, infinite where not bounded."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high


Label = Binary | Classes | Quantity
_KIND_BY_NAME: Mapping[str, Callable[..., Label]] = {"Binary": Binary, "Classes": Classes, "Quantity": Quantity}


def label_to_json(label: Label) -> dict[str, Any]:
    """Plain values, from which `label_from_json` makes an equal label."""
    return {"kind": type(label).__name__, **asdict(label)}


def label_from_json(values: Mapping[str, Any]) -> Label:
    """The label that `label_to_json` was given."""
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return _KIND_BY_NAME[str(given.pop("kind"))](**given)
