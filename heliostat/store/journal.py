"""The hash chain of the journal: every row is bound to all rows before it. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from heliostat.errors import CatalogError
from heliostat.records import JournalEntry
from heliostat.store.canonical import canonical_json, instant_text

GENESIS_HASH = "0" * 64


def next_entry(
    previous: tuple[int, str],
    kind: str,
    *,
    workload: str | None,
    payload: Mapping[str, Any],
    by: str,
    at: datetime,
) -> JournalEntry:
    """The entry that follows the one with this sequence number and hash."""
    sequence, previous_hash = previous[0] + 1, previous[1]
    unsealed = JournalEntry(
        sequence=sequence,
        at=at,
        by=by,
        kind=kind,
        workload=workload,
        payload=payload,
        previous_hash=previous_hash,
        hash="",
    )
    return JournalEntry(**{**vars(unsealed), "hash": entry_hash(unsealed)})


def entry_hash(entry: JournalEntry) -> str:
    """SHA-256 over the previous hash and everything that the entry says."""
    said = {
        "sequence": entry.sequence,
        "at": instant_text(entry.at),
        "by": entry.by,
        "kind": entry.kind,
        "workload": entry.workload,
        "payload": entry.payload,
    }
    return hashlib.sha256((entry.previous_hash + canonical_json(said)).encode()).hexdigest()


def stored(entry: JournalEntry) -> dict[str, Any]:
    """The entry as its table holds it."""
    return {**vars(entry), "at": instant_text(entry.at), "payload": canonical_json(entry.payload)}


def restored(values: Mapping[str, Any]) -> JournalEntry:
    """The entry that was stored; CatalogError naming the row when it cannot be read."""
    try:
        parsed = {"at": datetime.fromisoformat(values["at"]), "payload": json.loads(values["payload"])}
        return JournalEntry(**{**values, **parsed})
    except (ValueError, TypeError) as error:
        raise CatalogError(
            f"The journal is broken at row {values['sequence']}: it cannot be read ({error})."
        ) from error


def verified_end(entries: Iterable[JournalEntry], start: tuple[int, str] = (0, GENESIS_HASH)) -> tuple[int, str]:
    """The last sequence number and hash of an unbroken chain; CatalogError naming the first broken row."""
    sequence, previous_hash = start
    for entry in entries:
        if entry.sequence != sequence + 1:
            raise CatalogError(
                f"The journal is broken at row {sequence + 1}: it is missing, the next row found is {entry.sequence}."
            )
        if entry.previous_hash != previous_hash:
            raise CatalogError(f"The journal is broken at row {entry.sequence}: it does not follow the row before it.")
        if entry.hash != entry_hash(entry):
            raise CatalogError(
                f"The journal is broken at row {entry.sequence}: its content was altered after it was written."
            )
        sequence, previous_hash = entry.sequence, entry.hash
    return sequence, previous_hash
