"""The job of a run whose rows are streamed, its tasks and worker in this process: what it leaves, however it ends."""

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import numpy as np
import pytest

from heliostat.errors import TrainingError
from heliostat.store import staged
from heliostat.store.lake import Lake
from heliostat.workload import load
from jobs import _entry, _staging, retrain, train
from tests.integration.conftest import AS_OF
from tests.ray_train import Attempts, Killed, train_here
from tests.stage import job_of, set_up

MODULE = "tests.toy_stream"
stage_rows = _staging.stage


def as_tasks(spans, run):
    """The files of all spans, as Ray Data's tasks tell of them."""
    for first, last in spans:
        batch = {"first": np.array([first.isoformat()]), "last": np.array([last.isoformat()])}
        yield from _staging._written(batch, run=run).to_pylist()


@pytest.fixture
def stage(tmp_path, monkeypatch, first_run):
    stage = set_up(tmp_path / "home", monkeypatch, lake=first_run.lake)
    train_here(monkeypatch)
    monkeypatch.setattr(_staging, "stage", partial(stage_rows, spread=as_tasks))
    return stage


@pytest.fixture
def attempts(tmp_path, monkeypatch):
    return Attempts(tmp_path / "checkpoints", monkeypatch)


def job(stage, **options):
    return job_of(stage, MODULE, **{"as_of": AS_OF, "run": "streamed", **options})


def rows_left(stage):
    return sorted(path.name for path in (stage.settings.runs_dir / train.ROWS_DIR).glob("*"))


def test_a_streamed_job_registers_what_it_fitted_and_leaves_no_rows(stage, attempts):
    result = train.train(job(stage))
    assert len(result["versions"]) == 4
    assert stage.catalog.run("streamed").status == "succeeded"
    assert rows_left(stage) == []


def test_a_streamed_job_killed_at_a_report_finds_its_rows_and_goes_on(stage, attempts, monkeypatch):
    attempts.die_after = 3
    with pytest.raises(Killed):
        train.train(job(stage))
    assert rows_left(stage) == ["streamed"]
    monkeypatch.setattr(_staging, "_write", None)  # nothing is written again
    assert len(train.train(job(stage))["versions"]) == 4
    assert rows_left(stage) == []


def test_a_streamed_turn_with_nothing_new_to_judge_on_leaves_no_rows(stage, attempts, first_run):
    first_run.register(stage.catalog)
    stage.catalog.promote("toy", 2, reasons=(), inputs={}, by="admin", at=AS_OF)
    result = retrain.retrain(job(stage))
    assert "0 new rows are left to judge on" in result["reasons"][0]
    assert rows_left(stage) == []


def test_rows_that_cannot_be_put_in_order_end_the_run_with_the_sentence(stage, attempts):
    before = stage.catalog.versions("toy")
    stage.lake = Lake(stage.settings.lake_uri)  # nothing was ingested
    with pytest.raises(TrainingError, match="No row has a label that was due") as caught:
        train.train(job(stage))
    run = stage.catalog.run("streamed")
    assert (run.status, run.result) == ("failed", {"run": "streamed", "error": str(caught.value)})
    assert (rows_left(stage), stage.catalog.versions("toy")) == ([], before)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TrainingError("Version 3 of 'other' reads ['speed']."), r"^Version 3 of 'other' reads \['speed'\]\.$"),
        (
            OSError(28, "No space left"),
            r"^The rows of 2024-01-01 to \S+ could not be put on files: OSError: .* space left$",
        ),
    ],
)
def test_what_a_task_says_is_the_sentence_of_the_run(stage, attempts, monkeypatch, error, said):
    def fails(run, days):
        raise error

    monkeypatch.setattr(_staging, "_write", fails)
    with pytest.raises(train.FitFailedError, match=said):
        train.train(job(stage))
    assert stage.catalog.run("streamed").status == "failed"
    result = retrain.retrain(job(stage, run="turn"))
    assert (stage.catalog.run("turn").status, result["verdict"]) == ("failed", "hold")


def test_rows_of_a_run_that_was_killed_and_never_started_again_are_removed(stage, attempts, capsys):
    root = stage.settings.runs_dir / train.ROWS_DIR
    an_hour, two_days = timedelta(hours=1), timedelta(days=2)
    for name, age in (("killed", two_days), ("alive", two_days), ("fresh", an_hour), ("team/alive", two_days)):
        (root / name).mkdir(parents=True)
        (root / name / "2024-01-01.arrow").write_text("rows")
        changed_s = (datetime.now(UTC) - age).timestamp()
        os.utime(root / name, (changed_s, changed_s))
        os.utime((root / name).parent, (changed_s, changed_s))
    with staged.held(str(root / "alive")), staged.held(str(root / "team" / "alive")):
        train.train(job(stage))
    assert rows_left(stage) == ["alive", "fresh", "team"]
    assert (root / "team" / "alive" / "2024-01-01.arrow").exists()
    assert "removed the rows of killed" in capsys.readouterr().out


def test_a_run_that_a_sweep_met_before_it_took_its_folder_makes_it_anew(tmp_path, monkeypatch):
    folder, flock = tmp_path / "rows" / "again", staged.fcntl.flock

    def swept_first(place, how):
        monkeypatch.setattr(staged.fcntl, "flock", flock)
        folder.rmdir()
        return flock(place, how)

    monkeypatch.setattr(staged.fcntl, "flock", swept_first)
    with staged.held(str(folder)):
        far = datetime.now(UTC) + timedelta(days=9)
        assert (folder.is_dir(), staged.sweep(str(folder.parent), now=far)) == (True, [])
    assert staged.sweep(str(folder.parent), now=far) == ["again"]


def test_rows_whose_removal_was_interrupted_count_as_not_there(first_run, tmp_path, monkeypatch):
    run = replace(first_run.run, module=MODULE, rows_dir=str(tmp_path / "rows"))
    stage_rows(run, load(MODULE), spread=_staging.here)

    def killed_after_one(folder, **_):
        next(tmp_path.glob("rows/*.arrow")).unlink()
        raise Killed

    monkeypatch.setattr(shutil, "rmtree", killed_after_one)
    with pytest.raises(Killed):
        _staging.unstage(run)
    assert staged.opened(run.rows_dir) is None


@pytest.mark.parametrize("hours", [2, -5])
def test_an_instant_with_an_offset_is_that_instant(hours):
    said = AS_OF.astimezone(timezone(timedelta(hours=hours))).isoformat()
    assert _entry.instant(said).isoformat() == AS_OF.isoformat()
