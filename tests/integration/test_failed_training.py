"""A training job that cannot succeed: one sentence to the user and in the journal, and nothing else is touched."""

import json
from dataclasses import asdict, replace

import pytest
import ray
from ray.exceptions import RayError
from ray.train import FailureConfig, TrainingFailedError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback, WorkerHealthCheckFailedError
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2.api.exceptions import WorkerGroupError
from ray.tune import Result, TuneError

from heliostat.errors import ContractError, TrainingError
from heliostat.learn.attempts import Attempt
from heliostat.store.lake import Lake
from jobs import retrain, train, tune
from jobs._fitting import fit_candidates
from jobs._giving_up import TellingFailurePolicy, given_up
from tests.integration.conftest import AS_OF
from tests.ray_train import Attempts, train_here
from tests.stage import job_of, set_up

SAID = r"encode failed with ValueError: the scale ends at 94.9 on the row with key '2024-0\d-\d+' at 2024-\S+ "
WHERE = r"\(tests/toy_broken.py, line 12\). Mend it there, and train under a new name \(--run\)."


@pytest.fixture
def stage(tmp_path, monkeypatch, first_run):
    stage = set_up(tmp_path / "home", monkeypatch, lake=first_run.lake)
    first_run.register(stage.catalog)
    stage.catalog.promote("toy", 2, reasons=(), inputs={}, by="admin", at=AS_OF)
    Attempts(tmp_path / "checkpoints", monkeypatch)
    train_here(monkeypatch)
    return stage


def job(stage, module, **options):
    return job_of(stage, module, **{"as_of": AS_OF, "run": "broken", **options})


def test_a_failed_run_ends_with_the_sentence_and_the_champion_is_untouched(stage):
    before = stage.catalog.aliases("toy"), stage.catalog.versions("toy"), stage.catalog.route("toy")
    with pytest.raises(TrainingError, match=SAID + WHERE) as caught:
        train.train(job(stage, "tests.toy_broken"))
    run = stage.catalog.run("broken")
    assert (run.status, run.result) == ("failed", {"run": "broken", "error": str(caught.value)})
    _, payload = stage.said("run_ended")[-1]
    assert (payload["status"], payload["result"]["error"]) == ("failed", str(caught.value))
    assert (stage.catalog.aliases("toy"), stage.catalog.versions("toy"), stage.catalog.route("toy")) == before


@pytest.mark.parametrize("verb", [train.train, tune.tune_workload])
def test_a_run_does_not_go_on_with_other_code_under_its_name(stage, verb):
    own = job(stage, "tests.toy_broken", run="changed")
    train.started(own, run_id="changed", as_of=AS_OF)
    again = train.started(own, run_id="changed", as_of=AS_OF)
    assert again.run_id == "changed"
    changed = job(stage, "tests.toy_tuned", run="changed")
    with pytest.raises(TrainingError, match=r"'changed' was started with another tests.toy_tuned than there is now"):
        verb(replace(changed, workload=replace(changed.workload, name="toy")))


def test_a_run_that_succeeds_registers_what_it_fitted(stage):
    result = train.train(job(stage, "tests.toy_quick", run="well"))
    assert len(result["versions"]) == 4
    assert stage.catalog.run("well").status == "succeeded"


def test_a_turn_whose_fit_fails_holds_with_the_sentence(stage):
    stage.catalog.promote("toy", 1, reasons=(), inputs={}, by="admin", at=AS_OF)  # it has not seen the hold-out
    result = retrain.retrain(job(stage, "tests.toy_broken"))
    assert (result["version"], result["verdict"]) == (None, "hold")
    run = stage.catalog.run("broken")
    assert (run.status, run.result["reasons"]) == ("failed", [result["error"]])
    assert (result["is_failed"], result["fits"]) == (True, 0)
    [(_, cost)] = stage.said("run_cost")
    assert (cost["run"], cost["num_fits"]) == ("broken", 0)
    assert 0 < cost["cpu_s"] < result["cpu_s"]  # and this process


def test_a_turn_with_nothing_new_to_judge_on_holds_without_a_fit(stage):
    before = stage.catalog.versions("toy")
    result = retrain.retrain(job(stage, "tests.toy_quick"))
    assert (result["version"], result["verdict"]) == (None, "hold")
    assert "0 new rows are left to judge on" in result["reasons"][0]
    assert stage.catalog.run("broken").status == "succeeded"
    assert stage.catalog.versions("toy") == before


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
        (
            ray.exceptions.OutOfMemoryError("killed"),
            r"too little memory .* once in encode, after step 7\. Lower Training",
        ),
        (
            WorkerHealthCheckFailedError(
                "gone", RayError("1 worker(s) were killed due to the node running low on memory")
            ),
            r"too little memory .* once in encode, after step 7\. Lower Training\(batch_size\).*stream=True",
        ),
        (
            WorkerHealthCheckFailedError("gone", ray.exceptions.RayActorError()),
            r"its worker's process ended once in encode, after step 7, without an exception\. Look there for os._exit",
        ),
        (
            KeyError("gone"),
            "5 new starts that came no further; the last worker ended with KeyError: 'gone'",
        ),
        (
            ValueError("not these columns:\n  Schema(\n    a: int64\n)"),
            r"the last worker ended with ValueError: not these columns:\. Its log",
        ),
        (
            ray.exceptions.RayTaskError("read", "Traceback ...\nOSError: No space left\n)", OSError("No space left")),
            r"the last worker ended with OSError: No space left\. Its log",
        ),
    ],
)
def test_what_ray_gives_up_for_is_one_sentence(cause, pattern):
    gone = isinstance(cause, ray.exceptions.OutOfMemoryError | WorkerHealthCheckFailedError)
    place = "encode, after step 7" if gone else ""
    attempts = [Attempt(began_ns=1, rank=1, used_s=2.0, place=place)]
    with pytest.raises(TrainingError, match=pattern):
        raise train.FitFailedError(given_up("broken", LostError(cause), attempts))


@pytest.mark.parametrize(
    ("cause", "decision"),
    [(TrainingError("told"), FailureDecision.RAISE), (KeyError("lost"), FailureDecision.RETRY)],
)
def test_what_a_worker_told_ends_the_run_without_a_new_start(cause, decision):
    policy = TellingFailurePolicy(FailureConfig(max_failures=5), reached=lambda: None)
    error = WorkerGroupError("failed", {0: RuntimeError("peer"), 1: UserExceptionWithTraceback(cause, "a traceback")})
    assert policy.make_decision(error) is decision


def test_losses_of_workers_count_only_while_a_run_comes_no_further():
    reached = ["checkpoint_1"]
    policy = TellingFailurePolicy(FailureConfig(max_failures=2), reached=lambda: reached[-1])
    lost = WorkerGroupError("failed", {0: ray.exceptions.RayActorError()})
    for number in range(2, 12):  # a run on nodes that others take away
        assert policy.make_decision(lost) is FailureDecision.RETRY
        reached.append(f"checkpoint_{number}")
    assert [policy.make_decision(lost) for _ in range(3)] == [
        FailureDecision.RETRY,
        FailureDecision.RETRY,
        FailureDecision.RAISE,
    ]


def test_a_search_without_rows_ends_with_the_sentence(stage):
    stage.lake = Lake(stage.settings.lake_uri)  # nothing was ingested
    with pytest.raises(TrainingError, match="No row has a label that was due") as caught:
        tune.tune_workload(job(stage, "tests.toy_tuned", run="search"))
    run = stage.catalog.run("search")
    assert (run.status, run.result) == ("failed", {"run": "search", "error": str(caught.value)})


def result(configuration, error=None, **metrics):
    return Result(metrics={"config": configuration, **metrics}, checkpoint=None, error=error, path=None)


@pytest.mark.parametrize(
    ("results", "pattern"),
    [
        ([], r"No trial of 'search' began within Tuning\(time_limit=None\): others had all the room"),
        (
            [result({"model.width": 4}, ValueError("Traceback (most recent call last):\n  ...\nOSError: disk full\n"))],
            r"the first one says: OSError: disk full$",
        ),
        ([result({"model.width": 4}, score=float("nan"))], r"the first one says: its score is nan$"),
        (
            [result({"model.depth": 4}, score=0.5)],
            r"was begun over model.depth, and Tuning\(space=...\) has learning",
        ),
    ],
)
def test_a_search_without_a_usable_trial_ends_with_the_sentence(stage, monkeypatch, results, pattern):
    monkeypatch.setattr(tune, "_search", lambda *_: results)
    own = job(stage, "tests.toy_tuned", run="search")
    with pytest.raises(TrainingError, match=pattern) as caught:
        tune.tune_workload(replace(own, workload=replace(own.workload, name="toy")))
    run = stage.catalog.run("search")
    assert (run.status, run.result["error"]) == ("failed", str(caught.value))


def test_a_search_whose_rows_do_not_fit_the_contract_ends_in_the_catalog_too(stage, monkeypatch):
    def unfit(*_):
        raise ContractError("The lake has no column 'site'.")

    monkeypatch.setattr(tune, "known_rows", unfit)
    with pytest.raises(ContractError):
        tune.tune_workload(job(stage, "tests.toy_tuned", run="search"))
    assert stage.catalog.run("search").status == "failed"


@pytest.mark.parametrize(
    ("verb", "work", "module"),
    [("_search", tune.tune_workload, "tests.toy_tuned"), ("_run_train", train.train, "tests.toy_quick")],
)
def test_what_breaks_a_run_off_ends_it_with_its_reason_and_the_same_name_goes_on(
    stage, monkeypatch, verb, work, module
):
    def broken(*_):
        raise TuneError("Traceback\n  ...\nOSError: No space left on device")

    own = job(stage, module, run="broken-off")
    own = replace(own, workload=replace(own.workload, name="toy"))
    with monkeypatch.context() as patch:
        patch.setattr(tune if work is tune.tune_workload else train, verb, broken)
        with pytest.raises(
            TrainingError, match=r"was broken off by TuneError: OSError: No space .* same name"
        ) as caught:
            work(own)
    run = stage.catalog.run("broken-off")
    assert (run.status, run.result) == ("failed", {"run": "broken-off", "error": str(caught.value)})
    monkeypatch.setattr(tune, "_searched", lambda *_: {"versions": []})
    work(own)
    assert stage.catalog.run("broken-off").status == "succeeded"


def test_a_search_whose_best_cannot_be_trained_ends_both_runs(stage, monkeypatch):
    def fails(job, run):
        raise train.FitFailedError("the node has too little memory")

    best = {
        "trial": 1,
        "score": 0.5,
        "epochs": 1,
        "configuration": {"learning_rate": 0.01, "model.width": 4},
        "error": None,
    }
    monkeypatch.setattr(tune, "_search", lambda *_: [])
    monkeypatch.setattr(tune, "_ranked", lambda *_: [best])
    monkeypatch.setattr(tune, "_report", lambda *_: {})
    monkeypatch.setattr(tune, "fit_run", fails)
    own = job(stage, "tests.toy_tuned", run="search")
    with pytest.raises(train.FitFailedError):
        tune.tune_workload(replace(own, workload=replace(own.workload, name="toy")))
    ended = [stage.catalog.run(name) for name in ("search", "search-best")]
    assert [(run.status, run.result["error"]) for run in ended] == [("failed", "the node has too little memory")] * 2
