"""A past period under other limits of the loop, from the journal alone: what the turns would have been."""

from datetime import datetime

from actors.hearing import asked
from actors.monitor import STATE
from heliostat.declared.loop import Loop
from heliostat.govern.limits import changed
from heliostat.govern.what_if import Past, PlayedTurn, what_if
from heliostat.watch.followed import RETRAIN, Followed
from jobs import _entry
from jobs._live_account import turns_of


def show_what_if(job: _entry.Job) -> _entry.Result:
    """Print the turns of `--since` to `--until` as they were and as they would have been under `--what-if`."""
    since, until = job.options.since, job.options.until
    loop, ignored = changed(job.workload.loop, job.options.what_if)
    past = _past(job, loop, since=since, until=until)
    found = what_if(past, loop, ignored=ignored)
    print(f"as it was: {len(past.turns)} turns", flush=True)
    for turn in past.turns:
        print(f"  turn {turn.turn}: {turn.started_at:%Y-%m-%d %H:%M} {turn.outcome}  {'; '.join(turn.reasons)}")
    print(f"with {job.options.what_if or 'the same limits'}: {len(found)} turns", flush=True)
    for one in found:
        print(f"  {_line(one)}")
    num_assumed = sum(one.is_assumed for one in found)
    if num_assumed:
        print(
            f"{num_assumed} of them start when none did: each is assumed to end as the one nearest in time. What was "
            "asked for is taken as it was, though other models might have given other reasons.",
            flush=True,
        )
    return {
        "turns_were": len(past.turns),
        "turns": len(found),
        "promotions_were": sum(turn.outcome == "promoted" for turn in past.turns),
        "promotions": sum(one.outcome == "promoted" for one in found),
        "assumed": num_assumed,
        "what_if": [
            {
                "started_at": one.record.started_at.isoformat(),
                "reasons": list(one.record.reasons),
                "outcome": one.outcome,
                "like_turn": one.like,
                "is_assumed": one.is_assumed,
            }
            for one in found
        ],
    }


def _line(one: PlayedTurn) -> str:
    record = one.record
    assumed = f" (assumed, as turn {one.like})" if one.is_assumed else ""
    return f"turn {record.turn}: {record.started_at:%Y-%m-%d %H:%M} {one.outcome}{assumed}  {'; '.join(record.reasons)}"


def _past(job: _entry.Job, loop: Loop, *, since: datetime, until: datetime) -> Past:
    asks = [asked(entry) for entry in job.catalog.entries(job.workload.name, kind=RETRAIN)]
    monitor = job.catalog.get_state(job.workload.name, STATE)
    return Past(
        asks=[ask for ask in asks if since <= ask.at < until],
        turns=turns_of(job, since=since, until=until),
        rows_per_day=0.0 if loop.economics is None else _rows_per_day(job, since=since, until=until),
        limits=job.workload.loop,
        until=until,
        labelled=() if monitor is None else Followed.from_json(monitor).labelled.num_by_since,
    )


def _rows_per_day(job: _entry.Job, *, since: datetime, until: datetime) -> float:
    """By the table of answers; only economics needs it."""
    when = [("event_at", ">=", since), ("event_at", "<", until)]
    rows = job.lake.read(job.workload.name, "predictions", columns=["event_at"], where=when)
    return float(rows.num_rows / max((until - since).total_seconds() / 86_400, 1e-9))
