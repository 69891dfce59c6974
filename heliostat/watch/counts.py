"""Counts of rows by bin: what windows and replicas add up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from heliostat.errors import ContractError


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many rows fell into each bin of each column; `+` is exact, in any order and grouping.

    `unseen_by_column` counts the cells that hold what the reference never held, for columns of which that is known.
    `together` and `within` are what `Together.count` and `Within.count` give, where columns are watched so.
    """

    profile: str
    num_rows: int
    by_column: Mapping[str, tuple[int, ...]]
    unseen_by_column: Mapping[str, int] = field(default_factory=dict)
    together: tuple[int, ...] = ()
    within: tuple[int, ...] = ()

    def __add__(self, other: "Counts") -> "Counts":
        """The counts of both sets of rows; ContractError when their bins differ."""
        if self.profile != other.profile:
            raise ContractError(
                f"Counts of two profiles cannot be added: {self.profile} and {other.profile} have "
                "different bins. Count the rows again with one of them."
            )
        added = {
            name: tuple(mine + theirs for mine, theirs in zip(counts, other.by_column[name], strict=True))
            for name, counts in self.by_column.items()
        }
        unseen = {name: number + other.unseen_by_column[name] for name, number in self.unseen_by_column.items()}
        return Counts(
            profile=self.profile,
            num_rows=self.num_rows + other.num_rows,
            by_column=added,
            unseen_by_column=unseen,
            together=tuple(mine + theirs for mine, theirs in zip(self.together, other.together, strict=True)),
            within=tuple(mine + theirs for mine, theirs in zip(self.within, other.within, strict=True)),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        by_column = {name: list(counts) for name, counts in self.by_column.items()}
        return {
            "profile": self.profile,
            "num_rows": self.num_rows,
            "by_column": by_column,
            "unseen_by_column": dict(self.unseen_by_column),
            **({"together": list(self.together)} if self.together else {}),
            **({"within": list(self.within)} if self.within else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Counts":
        """The counts that `to_json` wrote."""
        by_column = {name: tuple(counts) for name, counts in value["by_column"].items()}
        return cls(
            profile=value["profile"],
            num_rows=value["num_rows"],
            by_column=by_column,
            unseen_by_column=dict(value.get("unseen_by_column", {})),  # counts stored before there were any
            together=tuple(value.get("together", ())),
            within=tuple(value.get("within", ())),
        )
