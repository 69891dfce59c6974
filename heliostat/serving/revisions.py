"""The contract revisions of one workload side by side: which one a request is read under, and what its sender is told.

A request may name a revision. One that names none is read under the newest revision that its rows keep, so a client
written for an earlier one goes on unchanged until that is retired.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from heliostat.columns import Column
from heliostat.declared.revisions import Revision
from heliostat.errors import ContractError
from heliostat.serving.problem import GoneError, MalformedError
from heliostat.serving.rows import Contract, RowReader, Rows

HEADER = "X-Contract-Revision"


class Revisions:
    """Readers of every revision that is declared, and how often each key used an earlier one."""

    def __init__(self, contract: Contract, *, docs: str) -> None:
        self._contract = contract
        self._docs = docs
        self._current = RowReader(contract)
        newest_first = sorted(contract.earlier, key=lambda revision: -revision.number)
        self._earlier = {revision.number: (revision, RowReader(contract, revision)) for revision in newest_first}
        columns = [*contract.columns, *(column for each in contract.earlier for column in each.columns)]
        self.columns: tuple[Column, ...] = tuple({column.name: column for column in columns}.values())
        """The columns of all revisions under the names that requests use."""
        self.num_requests_by_revision: Counter[tuple[int, str]] = Counter()

    @property
    def current(self) -> RowReader:
        """The reader of the current revision."""
        return self._current

    @property
    def names(self) -> frozenset[str]:
        """All that a row of any revision may carry."""
        return self._current.names.union(*(reader.names for _, reader in self._earlier.values()))

    def read(self, read: Callable[[RowReader], Rows], *, named: str | None, at: datetime, by: str) -> Rows:
        """The rows under the revision that is named, else under the newest that they keep.

        MalformedError when there is no such revision, GoneError when it is retired, ContractError when none fits.
        """
        if named is not None:
            number = self.number(named, at=at)
            rows = read(self._current if number == self._contract.revision else self._earlier[number][1])
        elif not self._earlier:
            return read(self._current)
        else:
            rows = self._newest_that_fits(read, at=at)
        if rows.revision != self._contract.revision:
            self.num_requests_by_revision[rows.revision, by] += 1
        return rows

    def number(self, named: str, *, at: datetime) -> int:
        """The number of a revision that is answered; MalformedError or GoneError."""
        current = self._contract.revision
        if not (named.isascii() and named.isdecimal() and len(named) < 10 and 1 <= int(named) <= current):
            known = ", ".join(str(number) for number in (current, *self._earlier))
            raise MalformedError(f"{HEADER} must be one of {known}; got {named!r:.40}.")
        number = int(named)
        if number == current:
            return number
        revision = self._earlier[number][0] if number in self._earlier else None
        if revision is None or revision.is_retired(at):
            raise self._gone(number, revision)
        return number

    def number_or_current(self, named: str | None, *, at: datetime) -> int:
        """The same, the current one when none is named."""
        return self._contract.revision if named is None else self.number(named, at=at)

    def columns_of(self, number: int) -> tuple[Column, ...]:
        """What rows of a declared revision hold."""
        return self._contract.columns if number == self._contract.revision else tuple(self._earlier[number][0].columns)

    def headers(self, number: int) -> Mapping[str, str]:
        """What an answer under that revision says: which it was, since when it is deprecated (RFC 9745), and until
        when it is answered (RFC 8594); nothing while there is only one revision.
        """
        if not self._earlier:
            return {}
        if number == self._contract.revision:
            return {HEADER: str(number)}
        revision = self._earlier[number][0]
        told = {
            HEADER: str(number),
            "Deprecation": f"@{int(revision.deprecated_at.timestamp())}",
            "Link": f'<{self._docs}>; rel="deprecation"',
        }
        if revision.sunset_at is not None:
            told["Sunset"] = format_datetime(revision.sunset_at.astimezone(UTC), usegmt=True)
        return told

    def parameters(self, number: int) -> dict[str, Any]:
        """The same as values, for protocols whose answers have room for them."""
        if not self._earlier:
            return {}
        revision = None if number == self._contract.revision else self._earlier[number][0]
        sunset_at = None if revision is None else revision.sunset_at
        told: dict[str, Any] = {"contract_revision": number, "deprecated": revision is not None}
        return told if sunset_at is None else {**told, "sunset_at": sunset_at.astimezone(UTC).isoformat()}

    def status(self, *, at: datetime) -> list[dict[str, Any]]:
        """Every revision with what is known of its use since this replica started, the newest first."""
        found: list[dict[str, Any]] = [{"number": self._contract.revision, "state": "current"}]
        for number, (revision, _) in self._earlier.items():
            used = {key: n for (other, key), n in sorted(self.num_requests_by_revision.items()) if other == number}
            found.append(
                {
                    "number": number,
                    "state": "retired" if revision.is_retired(at) else "deprecated",
                    "sunset_at": None if revision.sunset_at is None else revision.sunset_at.isoformat(),
                    "num_requests_by_key": used,
                }
            )
        return found

    def _newest_that_fits(self, read: Callable[[RowReader], Rows], *, at: datetime) -> Rows:
        try:
            return read(self._current)
        except ContractError as error:
            # What is read below was written for an earlier contract; if it was not, this is what its sender must know.
            refusal = error
        retired: Revision | None = None
        for revision, reader in self._earlier.values():
            try:
                rows = read(reader)
            except ContractError:
                continue
            if not revision.is_retired(at):
                return rows
            retired = retired or revision
        if retired is not None:
            raise self._gone(retired.number, retired) from refusal
        raise ContractError(f"{refusal} (Read as contract revision {self._contract.revision}; none before it fits.)")

    def _gone(self, number: int, revision: Revision | None) -> GoneError:
        since = "" if revision is None or revision.sunset_at is None else f" on {revision.sunset_at:%Y-%m-%d}"
        change = "" if revision is None else f" {_change(self._contract, revision)}."
        return GoneError(
            f"Contract revision {number} was retired{since}; the current one is {self._contract.revision}.{change} "
            f"See {self._docs}, and send rows of revision {self._contract.revision}."
        )


def _change(contract: Contract, revision: Revision) -> str:
    """What a client of an earlier revision has to change."""
    current = {column.name for column in contract.columns}
    own = set(revision.own_by_name)
    parts = [
        *(f"add {name!r}" for name in sorted(current - own)),
        *(f"leave {name!r} out" for name in sorted(own - current)),
        *(f"call {old!r} {new!r}" for old, new in sorted(revision.renamed.items())),
    ]
    return f"To change: {', '.join(parts)}" if parts else "To change: the values that a column may hold"
