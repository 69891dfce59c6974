"""What one call of `jobs.score` means: which version, which rows, where to, and the name of that run."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliostat.bulk.admission import Names
from heliostat.bulk.pinning import Asking, pins
from heliostat.bulk.scored import refuse_taken
from heliostat.columns import Number
from heliostat.errors import NotFoundError, SettingsError
from heliostat.learn.served_model import ServedModel
from heliostat.records import ModelVersion
from heliostat.store.bundles import read_bundle
from heliostat.store.inputs import Input, filter_of, open_input
from heliostat.store.outputs import Mode, Output
from heliostat.workload import Workload
from jobs import _entry

LAKE = "lake:"
CHAMPION = "champion"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides the answers; the same plan has the same `run_id`."""

    version: ModelVersion
    model: ServedModel
    opened: Input
    output: Output
    carry: tuple[str, ...]
    where: tuple[str, ...]
    with_inputs: bool
    asking: Asking | None
    params: dict[str, Any]

    @property
    def run_id(self) -> str:
        """The name of the run: other rows, another version or another place make another one."""
        digest = hashlib.sha256(json.dumps(self.params, sort_keys=True).encode()).hexdigest()
        return f"{self.version.workload}-score-{digest[:12]}"

    @property
    def read(self) -> tuple[str, ...]:
        """The columns of the input that are read."""
        workload, present = self.model.workload, self.opened.schema.names
        names = Names.of(workload, present)
        wanted = [*(column.name for column in self.model.columns), names.key, names.event_time, *self.carry]
        return tuple(dict.fromkeys(name for name in wanted if name is not None and name in present))


def plan(job: _entry.Job) -> Plan:
    """The plan of the options; an error of ours when it cannot be carried out, before anything is written."""
    options = job.options
    version = _version(job)
    model = ServedModel.load(read_bundle(version.bundle_uri, version.bundle_hash))
    carry, where = tuple(options.columns), tuple(options.where)
    opened = _opened(job, model)
    refuse_taken(model.columns, carry, opened.schema.names, task=model.workload.task)
    filter_of(where, opened.schema)
    output = _output(job)
    pinned = pins(job.catalog, job.workload.name, inputs=job.workload.inputs, combine=job.workload.combine)
    params = {
        "version": version.number,
        "bundle_hash": version.bundle_hash,
        "input": opened.uri,
        "input_state": opened.state,
        "output": output.uri,
        "columns": carry,
        "where": where,
        "limit": options.limit,
        "with_inputs": not options.without_inputs,
        **({"asks": {pin.workload: pin.number for pin in pinned}} if _asks_others(job.workload) else {}),
    }
    return Plan(
        version=version,
        model=model,
        opened=opened if options.limit is None else opened.first(options.limit, where),
        output=output,
        carry=carry,
        where=where,
        with_inputs=not options.without_inputs,
        asking=Asking.of(job.workload, pinned) if _asks_others(job.workload) else None,
        params={name: list(value) if isinstance(value, tuple) else value for name, value in params.items()},
    )


def _asks_others(workload: Workload) -> bool:
    return bool(workload.inputs) or workload.combine is not None


def _version(job: _entry.Job) -> ModelVersion:
    name, asked = job.workload.name, str(job.options.version)
    if asked == CHAMPION:
        champion = job.catalog.aliases(name).get(CHAMPION)
        if champion is None:
            raise NotFoundError(f"{name!r} has no champion; promote a version, or give its number with --version.")
        return job.catalog.version(name, champion)
    if not asked.isdecimal():
        raise SettingsError(f"--version must be a number or {CHAMPION}; got {asked!r}.")
    return job.catalog.version(name, int(asked))


def _opened(job: _entry.Job, model: ServedModel) -> Input:
    texts = [model.workload.key, model.workload.event_time, *(column.name for column in model.columns)]
    uri = _place(job, job.options.input)
    opened = open_input(uri, version=job.options.input_version, as_text=texts)
    is_text = any(path.path.endswith(".csv") for path in opened.parts[:1])
    numbers = {column.name for column in model.columns if isinstance(column, Number)}
    compared = [text for text in job.options.where if any(text.startswith(name) for name in numbers)]
    if is_text and compared:
        raise SettingsError(f"In CSV a number is text until it is checked, so {compared[0]!r} means nothing yet.")
    return opened


def _output(job: _entry.Job) -> Output:
    options = job.options
    asked: str = options.output
    mode: Mode = "overwrite" if options.overwrite else "append" if options.append else "error"
    if asked.startswith(LAKE) and mode == "error":
        mode = "append"  # the lake's tables grow
    return Output(uri=_place(job, asked), kind=options.format, mode=mode)


def _place(job: _entry.Job, asked: str) -> str:
    if asked.startswith(LAKE):
        return job.lake.table_uri(job.workload.name, asked.removeprefix(LAKE))
    return asked if "://" in asked else str(Path(asked).expanduser().resolve())
