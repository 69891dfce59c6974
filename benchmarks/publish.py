"""Make the benchmark's network champion without training it, and set how many replicas answer.

Reads:  catalog: aliases, applications
Writes: bundles; catalog: versions, aliases (through the steward), applications; Serve's declaration
"""

import argparse
import sys
from datetime import UTC, datetime

import numpy as np

from actors import handles
from cluster import applications, names
from heliostat.columns import Number, Vector
from heliostat.intake import take
from heliostat.learn import bundle
from heliostat.learn.calibrate import Calibration
from heliostat.learn.fit import Fitted
from heliostat.learn.prepare import NumberRange, Preparation, VectorMean
from heliostat.store.bundles import write_bundle
from heliostat.watch.profile import Profile
from heliostat.workload import Workload
from jobs import _entry

RUNNING_TIMEOUT_S = 180.0


def publish(job: _entry.Job) -> _entry.Result:
    """The champion and the number of replicas that answer."""
    name = job.workload.name
    if "champion" not in job.catalog.aliases(name):
        now = datetime.now(UTC)
        why = "the benchmark compares servers, not models"
        handles.steward(name).promote(_register(job, now), job.by, reasons=[why], inputs={}, clock=now)
    (application,) = (each for each in job.catalog.applications() if each.workload == name)
    declared = {**application.config, "deployments": [{"name": "Predictor", "num_replicas": job.options.replicas}]}
    job.catalog.put_application(name, declared, by=job.by, at=datetime.now(UTC))
    handles.publisher().publish()
    applications.wait_until_running(job.settings, names.application(name), timeout_s=RUNNING_TIMEOUT_S)
    return {"champion": job.catalog.aliases(name)["champion"], "replicas": job.options.replicas}


def fitted(workload: Workload) -> Fitted:
    """The network as its seed made it, as if it had been fitted."""
    at = datetime(2024, 1, 1, tzinfo=UTC)
    return Fitted(
        preparation=_preparation(workload),
        calibration=Calibration(),
        weights=workload.model({}).state_dict(),
        history=(),
        best_epoch=0,
        seed=0,
        num_rows=0,
        num_validation_rows=0,
        constant=np.asarray(0.5),
        first_event_at=at,
        last_event_at=at,
        validated_until=at,
    )


def _register(job: _entry.Job, now: datetime) -> int:
    workload, network = job.workload, fitted(job.workload)
    rows = take(workload, workload.source.read("all"), since=None, until=now).good
    answers = bundle.served(workload, network).answers(rows)
    profile = Profile.fit(rows, workload.columns, answers=answers, window=workload.loop.window)
    lineage = {"run": "benchmark", "candidate": "fixed"}
    files = bundle.to_files(job.module, network, profile=profile.to_json(), lineage=lineage)
    written = write_bundle(f"{job.settings.bundles_uri}/{workload.name}", files)
    return job.catalog.register(
        workload.name,
        run_id=lineage["run"],
        candidate=lineage["candidate"],
        kind="network",
        bundle_uri=written.uri,
        bundle_hash=written.hash,
        lineage=lineage,
        scores={},
        by=job.by,
        at=now,
    )


def _preparation(workload: Workload) -> Preparation:
    """Every value that the contract lets in goes to the network as it is, as it does in the other servers."""
    numbers = [
        NumberRange(name=column.name, low=-100.0, high=100.0, median=0.0, missing_seen=False)
        for column in workload.columns
        if isinstance(column, Number)
    ]
    vectors = [
        VectorMean(name=column.name, mean=(0.0,) * column.length, missing_seen=False)
        for column in workload.columns
        if isinstance(column, Vector)
    ]
    return Preparation(numbers=tuple(numbers), categories=(), vectors=tuple(vectors))


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    made.add_argument("--replicas", type=int, default=1, help="processes that answer (default: %(default)s)")
    return made


if __name__ == "__main__":
    sys.exit(_entry.run(publish, arguments()))
