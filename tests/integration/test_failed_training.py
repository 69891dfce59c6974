"""A training job that cannot succeed: one sentence to the user and in the journal, and nothing else is touched."""

import argparse
import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import ray
from ray.train import TrainingFailedError

from cluster import submit
from heliostat.errors import TrainingError
from heliostat.workload import load
from jobs import _entry, retrain, train
from jobs._fitting import fit_candidates
from tests.integration.conftest import AS_OF
from tests.ray_train import Attempts
from tests.stage import set_up

SAID = r"encode failed with ValueError: the scale ends at 94.9 on the row with key '2024-0\d-\d+' at 2024-\S+ "
WHERE = r"\(tests/toy_broken.py, line 12\). Mend it there, and train under a new name \(--run\)."


class HereTrainer:
    """Ray Train, as far as the job touches it: the one worker runs in this process."""

    def __init__(self, work, *, train_loop_config, **_):
        self.work, self.config = work, train_loop_config

    def fit(self):
        return SimpleNamespace(return_value=self.work(self.config), metrics={"cpu_s": 1.5})


@pytest.fixture
def stage(tmp_path, monkeypatch, first_run):
    stage = set_up(tmp_path / "home", monkeypatch, lake=first_run.lake)
    first_run.register(stage.catalog)
    stage.catalog.promote("toy", 2, reasons=(), inputs={}, by="admin", at=AS_OF)
    Attempts(tmp_path / "checkpoints", monkeypatch)
    monkeypatch.setattr(train, "RoomTrainer", HereTrainer)
    monkeypatch.setattr(ray, "cluster_resources", dict)
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 8.0})
    monkeypatch.setattr(submit, "code_package", lambda: None)
    monkeypatch.setattr(submit, "code_revision", lambda _: "abc")
    return stage


def job(stage, module, **options):
    return _entry.Job(
        settings=stage.settings,
        module=module,
        workload=load(module),
        lake=stage.lake,
        catalog=stage.catalog,
        options=argparse.Namespace(
            by="admin", as_of=AS_OF, **{"run": "broken", "onset": None, "in_doubt": False, **options}
        ),
    )


def test_a_failed_run_ends_with_the_sentence_and_the_champion_is_untouched(stage):
    before = stage.catalog.aliases("toy"), stage.catalog.versions("toy"), stage.catalog.route("toy")
    with pytest.raises(TrainingError, match=SAID + WHERE) as caught:
        train.train(job(stage, "tests.toy_broken"))
    run = stage.catalog.run("broken")
    assert (run.status, run.result) == ("failed", {"run": "broken", "error": str(caught.value)})
    _, payload = stage.said("run_ended")[-1]
    assert (payload["status"], payload["result"]["error"]) == ("failed", str(caught.value))
    assert (stage.catalog.aliases("toy"), stage.catalog.versions("toy"), stage.catalog.route("toy")) == before


def test_a_run_that_succeeds_registers_what_it_fitted(stage):
    result = train.train(job(stage, "tests.toy_quick", run="well"))
    assert len(result["versions"]) == 4
    assert stage.catalog.run("well").status == "succeeded"


def test_a_turn_whose_fit_fails_holds_with_the_sentence(stage):
    result = retrain.retrain(job(stage, "tests.toy_broken"))
    assert (result["version"], result["verdict"]) == (None, "hold")
    run = stage.catalog.run("broken")
    assert (run.status, run.result["reasons"]) == ("failed", [result["error"]])


def test_rows_that_nobody_can_learn_from_are_a_sentence_too(stage, first_run):
    nothing = replace(first_run.run, as_of=AS_OF.replace(year=2023))
    (said,) = fit_candidates(asdict(nothing))
    assert said["error"].startswith("No row has a label that was due and known by then")
    json.dumps(said)


class LostError(TrainingFailedError):
    def __init__(self, cause):
        super().__init__("workers failed")
        self.worker_failures = {1: cause}


@pytest.mark.parametrize(
    ("cause", "pattern"),
    [
        (TrainingError("encode failed on the row with key 'a'."), "^encode failed on the row with key 'a'.$"),
        (ray.exceptions.OutOfMemoryError("killed"), "too little memory .* Lower Training"),
        (KeyError("gone"), "given up after 5 new starts; the last worker ended with KeyError: 'gone'"),
    ],
)
def test_what_ray_gives_up_for_is_one_sentence(cause, pattern):
    with pytest.raises(TrainingError, match=pattern):
        raise train.FitFailedError(train.given_up("broken", LostError(cause)))
