"""How far the monitor has followed the tables and the journal, and what it counts for ever beside its windows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from heliostat.watch.answers import Answers
from heliostat.watch.awaited import Awaited
from heliostat.watch.events import Decision, Retrain
from heliostat.watch.failures import FailureCounts
from heliostat.watch.label_counts import LabelCounts
from heliostat.watch.labelled import Labelled

RETRAIN, ALERT = "retrain_asked", "alert"


def kind_of(decision: Decision) -> str:
    """Under which name the journal has it."""
    return RETRAIN if isinstance(decision, Retrain) else ALERT


@dataclass(kw_only=True)
class Followed:
    """Where reading goes on after a restart, and counts since the first row; stored with what they led to.

    `labelled` and `due` are rows of matured cohorts, `seen_sequence` the journal's entry of the last turn that ended.
    """

    read_until: int | None = None
    matured_until: datetime | None = None
    seen_sequence: int = 0
    awaited: Awaited = field(default_factory=Awaited)
    answers: Mapping[int, Answers] = field(default_factory=dict)
    num_by_decision: dict[str, int] = field(default_factory=lambda: dict.fromkeys((RETRAIN, ALERT), 0))
    labelled: Labelled = field(default_factory=Labelled)
    due: Labelled = field(default_factory=Labelled)
    told_labels: LabelCounts = field(default_factory=LabelCounts)
    failures: FailureCounts = field(default_factory=FailureCounts)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` reads them."""
        return {
            "read_until": self.read_until,
            "matured_until": None if self.matured_until is None else self.matured_until.isoformat(),
            "seen_sequence": self.seen_sequence,
            "awaited": self.awaited.to_json(),
            "answers": {str(version): one.to_json() for version, one in self.answers.items()},
            "num_by_decision": self.num_by_decision,
            "labelled": self.labelled.to_json(),
            "due": self.due.to_json(),
            "told_labels": self.told_labels.to_json(),
            "failures": self.failures.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Followed":
        """What `to_json` wrote.

        Counts that an earlier version did not keep begin with 0.
        """
        matured_until = value["matured_until"]
        return cls(
            read_until=value["read_until"],
            matured_until=None if matured_until is None else datetime.fromisoformat(matured_until),
            seen_sequence=value["seen_sequence"],
            # States before 0.2 have the longest due time alone, beside the rest.
            awaited=Awaited.from_json(value.get("awaited", value)),
            answers={int(number): Answers.from_json(one) for number, one in value.get("answers", {}).items()},
            num_by_decision=dict(value.get("num_by_decision", dict.fromkeys((RETRAIN, ALERT), 0))),
            labelled=Labelled.from_json(value.get("labelled", [])),
            due=Labelled.from_json(value.get("due", [])),
            told_labels=LabelCounts.from_json(value["told_labels"]) if "told_labels" in value else LabelCounts(),
            failures=FailureCounts.from_json(value["failures"]) if "failures" in value else FailureCounts(),
        )
