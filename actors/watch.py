"""What the actors are told of a workload.

Reads:  nothing
Writes: nothing
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from heliostat.columns import Column
from heliostat.declared.loop import Loop
from heliostat.declared.watching import Watching
from heliostat.metrics import ALL, Metric
from heliostat.tasks import BINARY, Task
from heliostat.triggers import Trigger


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What the actors need of a workload's declaration; made of plain values, so that they need no torch."""

    workload: str
    columns: Sequence[Column]
    triggers: Sequence[Trigger]
    loop: Loop
    metrics: Sequence[Metric] = ALL
    task: Task = BINARY
    sent_by_revision: Mapping[int, Sequence[str]] = field(default_factory=dict)
    watching: Watching = field(default_factory=Watching)
