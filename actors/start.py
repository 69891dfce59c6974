"""Turns the plain classes of this folder into named, detached actors; the one place that does."""

import time
from typing import Any

import ray

from actors.answerer import Answerer
from actors.catalog import CatalogActor
from actors.monitor import Monitor
from actors.recorder import Recorder
from actors.steward import Steward
from actors.watch import Watch
from cluster import names, resources
from cluster.resources import ActorResources
from heliostat.declared.revisions import sent_by_revision
from heliostat.errors import ClusterError
from heliostat.settings import Settings
from heliostat.workload import Workload

START_TIMEOUT_S = 90.0


def catalog(settings: Settings, *, revision: str) -> None:
    """The catalog is up and runs this code."""
    _start(CatalogActor, names.CATALOG, resources.CATALOG_ACTOR, revision=revision, arguments={"settings": settings})


def loop(settings: Settings, workload: Workload, *, module: str, revision: str) -> None:
    """Recorder, monitor and steward of a workload are up and run this code."""
    name = workload.name
    watch = Watch(
        workload=name,
        columns=workload.logged_columns,
        sent_by_revision=sent_by_revision(workload.columns, workload.earlier, current=workload.revision),
        triggers=tuple(workload.retrain_on),
        loop=workload.loop,
        metrics=workload.scored_by,
        watching=workload.watching,
        task=workload.task,
    )
    _start(
        Recorder,
        names.recorder(name),
        resources.RECORDER_ACTOR,
        revision=revision,
        arguments={
            "workload": name,
            "columns": workload.logged_columns,
            "task": workload.task,
            "lake_uri": settings.lake_uri,
            "directory": settings.segments_dir,
            "stream": "recorder",
        },
    )
    _start(
        Monitor,
        names.monitor(name),
        resources.MONITOR_ACTOR,
        revision=revision,
        arguments={"watch": watch, "settings": settings},
    )
    _start(
        Steward,
        names.steward(name),
        resources.STEWARD_ACTOR,
        revision=revision,
        arguments={"watch": watch, "module": module, "settings": settings},
    )


def answerer(settings: Settings, workload: Workload, *, module: str, worker: str, revision: str) -> None:
    """What sees to the workload's long answers is up and runs this code; `worker` names the class that gives them."""
    _start(
        Answerer,
        names.answerer(workload.name),
        resources.ANSWERER_ACTOR,
        revision=revision,
        arguments={
            "workload": workload.name,
            "module": module,
            "worker": worker,
            "limits": workload.long_answers,
            "settings": settings,
        },
    )


def _start(plain: type, name: str, asked: ActorResources, *, revision: str, arguments: dict[str, Any]) -> None:
    """The actor of that name runs `plain` at this code revision; one that runs another revision is replaced.

    Its memory goes with it and is rebuilt from the stores, as after any restart.
    """
    running = _running(name)
    if running is not None:
        if ray.get(running.code_revision.remote(), timeout=START_TIMEOUT_S) == revision:
            return
        ray.kill(running)
        _wait_until_gone(name)
    revised = type(plain.__name__, (plain,), {"code_revision": lambda self: revision})
    made: Any = ray.remote(**asked.class_options())(revised)
    handle = made.options(**asked.options(name=name, namespace=names.NAMESPACE)).remote(**arguments)
    ray.get(handle.code_revision.remote(), timeout=START_TIMEOUT_S)


def _wait_until_gone(name: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while _running(name) is not None:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"The actor {name!r} does not end; see it on the Ray dashboard, then repeat jobs.deploy."
            )
        time.sleep(0.1)


def _running(name: str) -> Any | None:
    try:
        return ray.get_actor(name, namespace=names.NAMESPACE)
    except ValueError:
        return None
