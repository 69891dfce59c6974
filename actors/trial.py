"""How a candidate does on live rows that both versions scored: what a trial is judged on."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from heliostat import cohorts
from heliostat.columns import Column
from heliostat.errors import NotFoundError
from heliostat.govern import comparison
from heliostat.govern.comparison import Comparison
from heliostat.store.catalog import Catalog
from heliostat.store.lake import Lake
from heliostat.store.schema import SHADOWS, shadow_schema
from heliostat.tasks import BINARY, Task


def compare(  # noqa: PLR0913 (rows of three tables, as they were known once)
    lake: Lake,
    workload: str,
    columns: Sequence[Column],
    *,
    version: int,
    since: datetime,
    clock: datetime,
    against: int | None = None,
    until: datetime | None = None,
    task: Task = BINARY,
    shut_out: Sequence[Mapping[str, str]] = (),
) -> Comparison:
    """The version beside the other one (None: whichever) on rows asked since `since`, and before `until` if given.

    Losses are of rows that were due, with labels known, by `clock`; labels told in a span of `shut_out` count for none.
    """
    return compared(
        lake,
        workload,
        columns,
        version=version,
        since=since,
        clock=clock,
        against=against,
        until=until,
        task=task,
        shut_out=shut_out,
    )[0]


def compared(  # noqa: PLR0913 (as `compare`)
    lake: Lake,
    workload: str,
    columns: Sequence[Column],
    *,
    version: int,
    since: datetime,
    clock: datetime,
    against: int | None = None,
    until: datetime | None = None,
    task: Task = BINARY,
    shut_out: Sequence[Mapping[str, str]] = (),
) -> tuple[Comparison, pa.Table]:
    """The same, with the rows that it was made from."""
    asked = cohorts.joined(
        lake, workload, columns, since=since, until=until or clock, known_by=clock, task=task, shut_out=shut_out
    )
    rows = own_answers(asked, task)
    days = [("event_date", ">=", since.date()), ("event_date", "<=", clock.date())]
    shadows = lake.read(workload, SHADOWS, where=days, schema=shadow_schema(task=task))
    found = comparison.pairs(rows, shadows, version=version, against=against, task=task)
    is_due = pc.less_equal(found["due_at"], pa.scalar(clock, pa.timestamp("us", tz="UTC")))
    made = comparison.compare(
        found, columns, version=version, num_answered=rows.num_rows, matured=pc.fill_null(is_due, False), task=task
    )
    return made, found


def on_trial(catalog: Catalog, workload: str) -> int:
    """The candidate, or the one of the last turn that had one; NotFoundError when there never was any."""
    candidate = catalog.aliases(workload).get("candidate")
    turns = (catalog.get_state(workload, "turns") or {"turns": []})["turns"]
    tried = [turn["candidate"] for turn in turns if turn["candidate"] is not None]
    number = candidate if candidate is not None else (tried[-1] if tried else None)
    if number is None:
        raise NotFoundError(f"No version of {workload!r} was on trial yet; name one as the version to look at.")
    return int(number)


def refuse_nothing(found: Comparison, against: int | None) -> None:
    """NotFoundError when no row was scored by the version, so that there is nothing to compare."""
    if not found.num_asked:
        beside = "" if against is None else f" beside version {against}"
        raise NotFoundError(
            f"No live row was scored by version {found.version}{beside}: it was never on trial there. "
            "v1/status and the journal say which were."
        )


def own_answers(rows: pa.Table, task: Task = BINARY) -> pa.Table:
    """The rows with what the workload's own model said, also where other workloads had a part in the answer.

    A shadow says what a model says, so with the whole answer beside it two different things would be compared.
    """
    if rows["answered_with"].null_count == rows.num_rows:
        return rows
    own = [None if text is None else json.loads(text)["own"] for text in rows["answered_with"].to_pylist()]
    is_known = pa.array([each is not None for each in own])
    for field in task.stored:
        # Of labels of two values the probability alone is written down, of others every column of the answer.
        said = pa.array([each[field.name] if isinstance(each, dict) else each for each in own], field.type)
        column = pc.if_else(is_known, said, rows[field.name])
        rows = rows.set_column(rows.schema.get_field_index(field.name), field.name, column)
    return rows
