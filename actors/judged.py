"""What a champion was judged on, read from the journal."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from actors.proxy import catalog
from heliostat.records import JournalEntry
from heliostat.watch.events import ReferenceScore
from heliostat.watch.monitor_json import reference_from_json


def references(inputs: Mapping[str, Any], *, loss: str) -> dict[str, ReferenceScore]:
    """What the gate saw on the hold-out; the loss with its error and expectation, where the judgement kept them."""
    found = {
        metric: ReferenceScore(score=score, num_rows=inputs["holdout_rows"])
        for metric, score in inputs.get("scores", {}).items()
        if score is not None
    }
    judged = inputs.get("inputs", {}).get(loss)
    return found if judged is None else found | {loss: reference_from_json(judged)}


def known_until(lineage: Mapping[str, Any], inputs: Mapping[str, Any]) -> datetime:
    """Until when the champion is known to fit the world: its training, or the rows on which it returned."""
    if inputs.get("is_returned"):
        return datetime.fromisoformat(inputs["inputs"]["window"][0])
    return datetime.fromisoformat(lineage["as_of"])


def changes(workload: str, number: int) -> tuple[JournalEntry, JournalEntry]:
    """The journal rows that made the version champion last, and that say what it was judged on."""
    promoted = [
        entry for entry in catalog().entries(workload, kind="version_promoted") if entry.payload["version"] == number
    ]
    rolled_back = [
        entry for entry in catalog().entries(workload, kind="version_rolled_back") if entry.payload["version"] == number
    ]
    return max([*promoted, *rolled_back], key=lambda entry: entry.sequence), promoted[-1]
