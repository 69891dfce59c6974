"""The toy workload from a source that knows the future: columns that nobody has when a machine is asked about."""

from dataclasses import dataclass, field, replace

import pyarrow as pa

from tests import toy, toy_quick

PLANTED = ("delay_minutes", "air_time_minutes")


@dataclass(frozen=True)
class Leaky:
    """The toy's rows with what became of them in two more columns."""

    clean: toy.Machines = field(default_factory=lambda: toy.Machines(rows_per_part=200))

    def parts(self) -> list[str]:
        """The months, in order of time."""
        return self.clean.parts()

    def read(self, part: str) -> pa.Table:
        """One month, with the outcome planted."""
        table = self.clean.read(part)
        for name in PLANTED:
            table = table.append_column(name, table["failed"])
        return table


workload = replace(toy_quick.workload, source=Leaky())
