"""Bring up everything of a workload: actors and Serve application; changed code is put in place, nothing else moves.

Reads:  catalog: aliases, keys
Writes: catalog: applications, keys; actors; Serve's declaration
"""

import argparse
import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path

import serve_apps
from actors import handles, start
from actors.steward import CLOCK, WALL
from cluster import applications, names, pooling, submit
from cluster.answering import wait_until_answering
from heliostat.check import check
from heliostat.declared.inputs import refuse_cycle
from heliostat.declared.pool import Pool
from heliostat.errors import WorkloadError
from heliostat.labels import label_from_json, label_to_json
from heliostat.learn import declaration
from heliostat.serving.filling import refuse_other_kinds
from heliostat.store.bundles import write_bundle
from jobs import _entry, _local_keys

ROLES = ("viewer", "caller", "operator", "admin")
RUNNING_TIMEOUT_S = 180.0
PLATFORM = ("heliostat", "cluster", "actors", "serve_apps")
WORKER = "serve_apps.engine.answering:Worker"  # by name: it needs torch, and the actor that starts it does not


def deploy(job: _entry.Job) -> _entry.Result:
    """The addresses of what is up."""
    settings, name = job.settings, job.workload.name
    check(job.workload)
    package = submit.code_package()
    revision = submit.code_revision(package)
    start.catalog(settings, revision=revision)
    start.loop(settings, job.workload, module=job.module, revision=revision)
    refuse_unfit_asks(job)
    start.answerer(settings, job.workload, module=job.module, worker=WORKER, revision=revision)
    _make_keys(job)
    job.catalog.put_state(name, CLOCK, {"mode": job.options.clock}, by=job.by, at=datetime.now(UTC))
    job.catalog.put_application(name, _application(job, package), by=job.by, at=datetime.now(UTC))
    application = handles.publisher().publish()[name]
    applications.wait_until_running(settings, application, timeout_s=RUNNING_TIMEOUT_S)
    wait_until_answering(settings, name, application=application, timeout_s=RUNNING_TIMEOUT_S)
    return {
        "url": f"{settings.http_url}{names.route_prefix(name)}",
        "code_revision": revision,
        "champion": job.catalog.aliases(name).get("champion"),
    }


def _application(job: _entry.Job, package: str) -> dict[str, object]:
    """One entry of Serve's schema; route and keys are added when it is published."""
    settings, pool = job.settings, job.workload.serving.pool
    if pool is not None:
        return _pooled(job, pool, package)
    return {
        "name": names.application(job.workload.name),
        "route_prefix": names.route_prefix(job.workload.name),
        "import_path": "serve_apps.app:build",
        "runtime_env": {"working_dir": package},
        "args": {"workload": job.module, "home": str(settings.home), "base_port": settings.base_port},
        pooling.ASKS: list(job.workload.asks),
        pooling.LABEL: label_to_json(job.workload.label),
        "deployments": [{"name": "Predictor"}],  # the rest is set where it is defined, in serve_apps.app
    }


def _pooled(job: _entry.Job, pool: Pool, package: str) -> dict[str, object]:
    """What the workload brings to the pool; `cluster.pooling` makes one application of all of them."""
    settings, name = job.settings, job.workload.name
    declared = write_bundle(f"{settings.bundles_uri}/{name}", declaration.to_files(job.module))
    return {
        "name": names.POOL,
        "route_prefix": "/",  # Serve's last resort: the first part of the path says which workload is meant
        "import_path": "serve_apps.pool_app:build",
        "runtime_env": {"working_dir": package},
        "args": {"home": str(settings.home), "base_port": settings.base_port},
        pooling.ASKS: list(job.workload.asks),
        pooling.LABEL: label_to_json(job.workload.label),
        "deployments": [{"name": "Pool"}],
        pooling.MEMBER: {
            "declaration": declared.to_json(),
            "platform": _platform(),
            "num_replicas": job.workload.serving.num_replicas,
            "max_loaded_models": pool.max_loaded_models,
            "max_loaded_mib": pool.max_loaded_mib,
        },
    }


def refuse_unfit_asks(job: _entry.Job) -> None:
    """WorkloadError when the workload asks one that is not there or answers otherwise, or, by way of others, itself."""
    config_by_workload = {each.workload: each.config for each in job.catalog.applications()}
    deployed = {name: config.get(pooling.ASKS, ()) for name, config in config_by_workload.items()}
    absent = [name for name in job.workload.asks if name not in deployed]
    if absent:
        raise WorkloadError(
            f"{job.workload.name!r} asks {absent[0]!r}, which is not deployed; deployed are {sorted(deployed)}. "
            "Deploy it first."
        )
    refuse_cycle({**deployed, job.workload.name: job.workload.asks})
    labels = {name: config_by_workload[name].get(pooling.LABEL) for name in job.workload.asks}
    # Without one it was deployed before labels were written down; its answers are looked at when they come.
    refuse_other_kinds(job.workload, {name: label_from_json(label) for name, label in labels.items() if label})


def _platform() -> str:
    """Names the code that a replica runs beside what its bundles hold."""
    root = Path(serve_apps.__path__[0]).parent
    digest = hashlib.sha256()
    for folder in PLATFORM:
        for file in sorted((root / folder).rglob("*.py")):
            digest.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return digest.hexdigest()


def _make_keys(job: _entry.Job) -> None:
    """One key a role for the person who runs this installation."""
    for role in ROLES:
        if not (job.settings.keys_dir / role).exists():
            key = job.catalog.create_key(f"local-{role}", role, workload=None, by=job.by, at=datetime.now(UTC))
            _local_keys.keep(job.settings, role, key)


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    made.add_argument(
        "--clock",
        choices=(WALL, "replayed"),
        default=WALL,
        help="who moves the loop's clock: time itself, or a replay (default: %(default)s)",
    )
    return made


if __name__ == "__main__":
    sys.exit(_entry.run(deploy, arguments()))
