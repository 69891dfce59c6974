"""What the live loop did in a period, from the journal: its turns, alarms and what they cost."""

from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.hearing import asked
from heliostat.govern.commands import TurnRecord
from heliostat.govern.stored import record_from_json
from heliostat.simulate.play import Account, TurnNote
from heliostat.watch.followed import ALERT, RETRAIN
from jobs import _entry

NOT_STORED = ("at", "numbers")  # beside the record in the journal
Instants = NDArray[np.datetime64]


def turns_of(job: _entry.Job, *, since: datetime, until: datetime) -> list[TurnRecord]:
    """The turns that started in a period, as they ended."""
    records = [
        record_from_json({name: value for name, value in entry.payload.items() if name not in NOT_STORED})
        for entry in job.catalog.entries(job.workload.name, kind="turn_ended")
    ]
    return [record for record in records if since <= record.started_at < until]


def account_of(job: _entry.Job, events: pa.ChunkedArray, *, since: datetime, until: datetime) -> Account:
    """The loop's turns and alarms by the row that was asked then; `events` are the times of all rows in order."""
    event_at: Instants = events.cast(pa.timestamp("us")).to_numpy()
    turns = turns_of(job, since=since, until=until)
    return Account(
        num_turns=len(turns),
        num_fits=sum(turn.num_fits or 0 for turn in turns),
        num_promotions=sum(turn.outcome == "promoted" for turn in turns),
        num_labels=max((turn.num_labels or 0 for turn in turns), default=0),
        cpu_s=sum(turn.cpu_s or 0.0 for turn in turns),
        turns=[_turn(turn, event_at) for turn in turns],
        alarms=_alarms(job, event_at, since=since, until=until),
    )


def _turn(turn: TurnRecord, event_at: Instants) -> TurnNote:
    return TurnNote(
        row=_row(event_at, turn.started_at),
        reason="; ".join(turn.reasons),
        outcome=f"{turn.outcome}: {'; '.join(turn.outcome_reasons)}",
        onset_row=None if turn.changed_at is None else _row(event_at, turn.changed_at),
    )


def _alarms(job: _entry.Job, event_at: Instants, *, since: datetime, until: datetime) -> list[TurnNote]:
    """Whatever the monitor told people, and every decay that it saw."""
    told: list[tuple[datetime, str, datetime | None]] = [
        (datetime.fromisoformat(entry.payload["detected_at"]), entry.payload["reason"], None)
        for entry in job.catalog.entries(job.workload.name, kind=ALERT)
    ]
    for entry in job.catalog.entries(job.workload.name, kind=RETRAIN):
        ask = asked(entry)
        told += [
            (ask.detected_at, reason, ask.onset_at)
            for trigger, reason in zip(ask.triggers, ask.reasons, strict=True)
            if trigger == "decay"
        ]
    return [_alarm(one, event_at) for one in sorted(told, key=lambda one: one[0]) if since <= one[0] < until]


def _alarm(told: tuple[datetime, str, datetime | None], event_at: Instants) -> TurnNote:
    detected_at, reason, onset_at = told
    onset_row = None if onset_at is None else _row(event_at, onset_at)
    return TurnNote(row=_row(event_at, detected_at), reason=reason, outcome="alarm", onset_row=onset_row)


def _row(event_at: Instants, at: datetime) -> int:
    return int(np.searchsorted(event_at, np.datetime64(at.replace(tzinfo=None), "us")))
