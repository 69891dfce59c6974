"""The actors of a workload as plain objects in one process, and the cluster as far as they touch it.

What is replaced is Ray: how an actor is found by name, Serve's declaration and the job API. The rest is real: the
catalog on SQLite, the lake, the bundles, the actors' own classes.
"""

import argparse
from dataclasses import dataclass, field
from datetime import UTC, datetime

from actors import steward as steward_module
from actors.catalog import CatalogActor
from actors.monitor import Monitor
from actors.proxy import Proxy
from actors.steward import Steward
from actors.watch import Watch
from cluster import applications, names, submit
from heliostat.settings import Settings
from heliostat.store.lake import Lake
from heliostat.workload import load
from jobs import _entry
from tests.toy_quick import workload

START = datetime(2024, 3, 1, tzinfo=UTC)


@dataclass
class Stage:
    """One installation; `job_by_id` is what the job API says, `declared` what Serve was told last."""

    settings: Settings
    watch: Watch
    catalog: CatalogActor
    lake: Lake
    job_by_id: dict[str, submit.JobState] = field(default_factory=dict)
    submitted: list[tuple[str, list[str]]] = field(default_factory=list)
    declared: list = field(default_factory=list)
    actor_by_name: dict[str, object] = field(default_factory=dict)

    def restart(self) -> Steward:
        """Monitor and steward are killed and up again, with nothing in memory; the steward is returned."""
        self.actor_by_name[names.monitor("toy")] = Monitor(self.watch, self.settings)
        self.actor_by_name[names.steward("toy")] = Steward(self.watch, module="tests.toy_quick", settings=self.settings)
        return self.steward

    @property
    def monitor(self) -> Monitor:
        return self.actor_by_name[names.monitor("toy")]

    @property
    def steward(self) -> Steward:
        return self.actor_by_name[names.steward("toy")]

    def end_job(self, submission_id: str, status: str, message: str = "") -> None:
        """The job API says that the job ended."""
        self.job_by_id[submission_id] = _job(submission_id, status, message)

    def said(self, *kinds: str) -> list[tuple[str, dict]]:
        """What the journal holds of these kinds, in order."""
        return [(one.kind, one.payload) for one in self.catalog.entries("toy") if one.kind in kinds]

    def everything(self) -> tuple:
        """All that lasts, but who has the lease: the journal, the route, the turns, and what the cluster was told."""
        journal = [(one.kind, one.payload) for one in self.catalog.entries("toy") if one.kind != "lease_acquired"]
        stored = self.catalog.route("toy"), self.catalog.get_state("toy", "turns")
        return journal, *stored, [*self.submitted], {**self.job_by_id}, [*self.declared]


def _job(submission_id: str, status: str, message: str = "") -> submit.JobState:
    return submit.JobState(submission_id=submission_id, status=status, message=message, exit_code=None)


def set_up(home, monkeypatch, *, watch: Watch | None = None, lake: Lake | None = None) -> Stage:
    """A stage with an empty catalog, its actors up; the wall's clock never moves the loop."""
    settings = Settings(home=home)
    watch = watch or Watch(
        workload="toy", columns=tuple(workload.columns), triggers=tuple(workload.retrain_on), loop=workload.loop
    )
    stage = Stage(settings, watch, CatalogActor(settings), lake or Lake(settings.lake_uri))
    stage.actor_by_name[names.CATALOG] = stage.catalog
    application = {"name": "toy", "deployments": [{"name": "Predictor"}]}
    stage.catalog.put_application("toy", application, by="admin", at=START)
    monkeypatch.setattr(Proxy, "__getattr__", lambda proxy, method: getattr(stage.actor_by_name[proxy._name], method))
    monkeypatch.setattr(steward_module, "TICK_S", 1e6)
    _replace_serve(stage, monkeypatch)
    _replace_jobs(stage, monkeypatch)
    stage.restart()
    return stage


def _replace_serve(stage: Stage, monkeypatch) -> None:
    def apply(_, declared):
        stage.declared = declared

    monkeypatch.setattr(applications, "apply", apply)
    monkeypatch.setattr(applications, "wait_until_running", lambda *_, **__: None)


def _replace_jobs(stage: Stage, monkeypatch) -> None:
    def submit_job(_, module, *, arguments, submission_id, tags):
        if submission_id not in stage.job_by_id:  # as cluster.submit promises
            stage.job_by_id[submission_id] = _job(submission_id, "RUNNING")
            stage.submitted.append((submission_id, [module, *arguments]))
        return submission_id

    monkeypatch.setattr(submit, "submit", submit_job)
    monkeypatch.setattr(submit, "state", lambda _, submission_id: stage.job_by_id.get(submission_id))
    monkeypatch.setattr(submit, "stop", lambda _, submission_id: stage.end_job(submission_id, "STOPPED"))


def job_of(stage: Stage, module: str, **options) -> _entry.Job:
    """A job that the administrator starts on this stage, with these options."""
    given = {"by": "admin", "onset": None, "in_doubt": False, **options}
    return _entry.Job(
        settings=stage.settings,
        module=module,
        workload=load(module),
        lake=stage.lake,
        catalog=stage.catalog,
        options=argparse.Namespace(**given),
    )
