"""Answer every row of a table with one version: the same bundle, the same encode, the same contract as over HTTP.

Reads:  a table: Parquet, CSV, Delta, or of the lake; bundles; catalog: versions, aliases
Writes: a Delta table or a folder of Parquet, there as a whole or not at all; catalog: runs

Rows that break the contract do not stop it: they lie with their reasons in _rejected/ beside the answers. The same
run again does nothing when its answers are there, and starts over when they are not.
"""

import argparse
import sys
import time
from datetime import UTC, datetime
from typing import Any

import ray

from cluster import resources, submit
from heliostat.bulk.ids import default_event_at
from heliostat.bulk.scored import Origin, answer_schema
from heliostat.errors import ClusterError, ContractError, HeliostatError, NotFoundError
from heliostat.records import BundleRef
from heliostat.store.outputs import REJECTED
from jobs import _entry, _room
from jobs._score_plan import CHAMPION, LAKE, Plan, plan
from jobs._scoring import ScoreRun, Tally, cause, dataset, default_actors

JOB = "score"
PROGRESS_EVERY_S = 5.0
_MAX_REASONS_SHOWN = 5


def score(job: _entry.Job) -> _entry.Result:
    """Where the answers are, how many, how fast, and of which version."""
    planned = plan(job)
    done = _done_before(job, planned)
    if done is not None:
        print(f"{planned.run_id} is done: {planned.output.uri} holds its answers.", flush=True)
        return {**done, "already": True}
    planned.output.refuse(planned.run_id)
    params = {**planned.params, "code_revision": _code_revision()}
    run = job.catalog.start_run(
        planned.run_id, job.workload.name, job=JOB, params=params, by=job.by, at=datetime.now(UTC)
    )
    try:
        result = _answered(job, planned, started_at=run.started_at)
    except HeliostatError as error:
        _end(job, run.run_id, status="failed", result={"error": str(error)})
        raise
    _end(job, run.run_id, status="succeeded", result=result)
    return result


def _answered(job: _entry.Job, planned: Plan, *, started_at: datetime) -> dict[str, Any]:
    version, output, started_s = planned.version, planned.output, time.monotonic()
    work = ScoreRun(
        origin=Origin(
            run_id=planned.run_id,
            version=version.number,
            bundle_hash=version.bundle_hash,
            default_event_at=default_event_at(started_at),
        ),
        bundle=BundleRef(uri=version.bundle_uri, hash=version.bundle_hash),
        output=output,
        read=planned.read,
        where=planned.where,
        carry=planned.carry,
        with_inputs=planned.with_inputs,
        batch_rows=job.options.batch_size,
        asking=planned.asking,
    )
    tally = _tally(job, planned, work)
    carried = {name: planned.opened.schema.field(name).type for name in planned.carry}
    schema = answer_schema(
        planned.model.columns,
        carried,
        with_inputs=planned.with_inputs,
        asks_others=planned.asking is not None,
        task=planned.model.workload.task,
    )
    table_version = output.commit(planned.run_id, tally.answers, schema=schema, rejected=tally.rejected)
    result = {
        "run": planned.run_id,
        **planned.params,
        "output": output.as_json(),
        "output_version": table_version,
        "rows": tally.num_answered,
        "rejected": tally.num_rejected,
        "rejected_uri": f"{output.uri}/{REJECTED}" if tally.num_rejected else None,
        "reasons": dict(tally.reasons.most_common(_MAX_REASONS_SHOWN)),
        "rows_per_s": round(tally.num_answered / (time.monotonic() - started_s)),
    }
    _say(result)
    return result


def _tally(job: _entry.Job, planned: Plan, work: ScoreRun) -> Tally:
    """What all parts gave, written and not yet committed."""
    tally, said_s, started_s = Tally(), time.monotonic(), time.monotonic()
    if not planned.opened.parts:
        return tally
    _room.say_if_full(num_cpus=resources.SCORE_READ_CPUS + resources.SCORE_ACTOR_CPUS)
    blocks = dataset(work, planned.opened.parts, num_actors=job.options.concurrency or default_actors())
    try:
        for reported in blocks.iter_batches(batch_size=None, batch_format="pyarrow"):
            tally.add(reported)
            if job.options.strict and tally.num_rejected:
                raise ContractError(
                    f"{tally.num_rejected} rows break the contract ({', '.join(tally.reasons)}) and --strict was "
                    "given, so nothing was committed. Correct them, or leave --strict out."
                )
            if time.monotonic() - said_s >= PROGRESS_EVERY_S:
                said_s = time.monotonic()
                rate = tally.num_answered / (said_s - started_s)
                print(f"{tally.num_answered:,} answered, {tally.num_rejected:,} rejected, {rate:,.0f}/s", flush=True)
    except ray.exceptions.RayError as error:
        raise cause(error) or ClusterError(f"The answers could not be made: {error}") from error
    return tally


def _done_before(job: _entry.Job, planned: Plan) -> dict[str, Any] | None:
    """The result of the same run, when it ended well and its answers are still where it put them."""
    try:
        run = job.catalog.run(planned.run_id)
    except NotFoundError:
        return None
    if run.status != "succeeded" or run.result is None or planned.output.committed(run.run_id) is None:
        return None
    return dict(run.result)


def _end(job: _entry.Job, run_id: str, *, status: str, result: dict[str, Any]) -> None:
    job.catalog.end_run(run_id, status=status, result=result, by=job.by, at=datetime.now(UTC))


def _code_revision() -> str | None:
    try:
        return submit.code_revision(submit.code_package())
    except ClusterError:
        return None  # started beside the cluster, from a checkout: there is no package that could be named


def _say(result: dict[str, Any]) -> None:
    print(
        f"{result['rows']:,} rows answered by version {result['version']} (bundle {result['bundle_hash'][:12]}), "
        f"{result['rows_per_s']:,} rows/s; {result['rejected']:,} rejected",
        flush=True,
    )
    for reason, num_rows in result["reasons"].items():
        print(f"  rejected: {num_rows:,} rows: {reason}", flush=True)
    print(f"  answers: {result['output']['uri']}", flush=True)


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    made.add_argument("--input", required=True, help=f"path or URI of Parquet, CSV or Delta, or {LAKE}TABLE")
    made.add_argument("--input-version", type=int, help="of a Delta table (default: its newest)")
    made.add_argument("--output", default=f"{LAKE}scores", help=f"path, URI or {LAKE}TABLE (default: %(default)s)")
    made.add_argument("--format", choices=("delta", "parquet"), default="delta", help="default: %(default)s")
    mode = made.add_mutually_exclusive_group()
    mode.add_argument("--overwrite", action="store_true", help="replace what is there")
    mode.add_argument("--append", action="store_true", help=f"add to a Delta table (always so with {LAKE}TABLE)")
    made.add_argument("--version", default=CHAMPION, help="a number, or champion (default: %(default)s)")
    made.add_argument("--columns", nargs="*", default=[], help="columns of the input to carry along")
    made.add_argument("--without-inputs", action="store_true", help="leave the model's inputs out of the answers")
    made.add_argument("--where", action="append", default=[], help="site=alpha, load>=50, ...; all must hold")
    made.add_argument("--limit", type=_count, help="the first so many rows only")
    made.add_argument("--batch-size", type=_count, default=8192, help="rows that the model sees at once")
    made.add_argument("--concurrency", type=_count, help="models at work (default: one a GPU, else half the CPUs)")
    made.add_argument("--strict", action="store_true", help="fail when a row breaks the contract")
    return made


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(_entry.run(score, arguments()))
