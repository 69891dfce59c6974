"""Both kinds of model in one run of fits and behind one predictor: candidates, shadow, canary and rollback."""

import json
import re
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from heliostat import cohorts
from heliostat.learn.bundle import ServedModel, to_files
from heliostat.learn.fit_trees import fit_trees
from heliostat.learn.rows import split_by_time
from heliostat.serving.routing import arm, route_of
from heliostat.store.bundles import read_bundle, write_bundle
from jobs import _fitting, _reached, _step_metrics
from jobs._contest import Version
from jobs._fitting import fit_candidates
from jobs._windows import candidates, holdout_at, parts
from tests.integration.predictor_fixture import ROW, make_bundle, record, run, serving
from tests.integration.test_predictor_http import expected
from tests.integration.test_shadow import settled, shadows
from tests.integration.test_step_metrics import events
from tests.ray_train import Attempts, Killed
from tests.toy_rows import labelled_rows
from tests.toy_trees import workload

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
NETWORK, TREES = 1, 2
ROWS = [{**ROW, "reading": f"r-{number}", "load_percent": 2 * number} for number in range(40)]


@pytest.fixture(scope="module")
def fitted(first_run, tmp_path_factory):
    home = tmp_path_factory.mktemp("both")
    both = replace(first_run.run, run_id="both", module="tests.toy_trees", bundles_uri=str(home / "bundles"))
    with pytest.MonkeyPatch.context() as patch:
        Attempts(home / "checkpoints", patch)
        return both, fit_candidates(asdict(both))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    home = tmp_path_factory.mktemp("served")
    trees = fit_trees(workload, *split_by_time(labelled_rows("2024-01", rows_per_part=600), share=0.2), seed=1)
    files = to_files("tests.toy_trees", trees, profile={}, lineage={})
    return {
        NETWORK: make_bundle(home, "tests.toy_trees", seed=1),
        TREES: write_bundle(str(home / "bundles"), files),
    }


def test_a_run_fits_trees_first_and_then_the_network_each_with_its_refit(fitted, first_run):
    _, found = fitted
    assert [(each["candidate"], each["kind"]) for each in found] == [
        ("trees-all", "trees"),
        ("trees-all-refit", "trees"),
        ("all", "network"),
        ("all-refit", "network"),
    ]
    rows = cohorts.training_rows(first_run.lake, workload, as_of=AS_OF)
    first = candidates(workload, rows, as_of=AS_OF, onset_at=None)[0]
    chosen = parts(workload, rows, first, holdout_at=holdout_at(workload, rows))
    for each in found:
        files = read_bundle(each["bundle_uri"], each["bundle_hash"])
        assert json.loads(files["model.json"])["kind"] == each["kind"]
        answers = ServedModel.load(files).answers(chosen.validation)
        assert ((answers > 0) & (answers < 1)).all()
        assert each["scores"]["validation_log_loss"] < 0.69
    assert found[1]["lineage"]["refit_of"] == "trees-all"
    assert found[1]["lineage"]["num_rows"] == rows.num_rows


def test_a_worker_killed_after_every_report_ends_with_the_same_trees(fitted, tmp_path, monkeypatch):
    both, found = fitted
    attempts = Attempts(tmp_path, monkeypatch)
    again = None
    while again is None:
        attempts.die_after = 1
        try:
            again = fit_candidates(asdict(both))
        except Killed:
            continue
    assert [(each["candidate"], each["bundle_hash"]) for each in again] == [
        (each["candidate"], each["bundle_hash"]) for each in found
    ]
    first_fit = next(number for number, values in enumerate(attempts.values) if "num_candidates" in values)
    kept = [values["num_epochs"] for values in attempts.values[:first_fit]]
    assert kept[0] == 50
    assert kept == sorted(set(kept))  # no portion is boosted twice


def test_trees_tell_lines_a_bar_and_metrics_while_they_are_boosted(fitted, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_step_metrics, "EVERY_S", 0.0)
    monkeypatch.setattr(_reached, "EVERY_S", 0.0)
    both = replace(fitted[0], events_dir=str(tmp_path / "events" / "both"), only="trees-all")
    attempts = Attempts(tmp_path / "checkpoints", monkeypatch)
    attempts.die_after = 1
    seen = []
    tell = _reached.ReachedFile.tell
    monkeypatch.setattr(_reached.ReachedFile, "tell", lambda own, reached: (seen.append(reached), tell(own, reached)))
    with pytest.raises(Killed):
        fit_candidates(asdict(both))
    assert re.search(r"^  round 50: loss 0\.\d{4}, later rows 0\.\d{4}$", capsys.readouterr().out, re.MULTILINE)
    assert [(each.name, each.num_done, each.num_all) for each in seen[:2]] == [
        ("trees-all", 1, 60),
        ("trees-all", 2, 60),
    ]
    assert re.fullmatch(r"round 50/60, loss 0\.\d{4}", seen[49].words)
    told = [value.tag for event in events(tmp_path / "events" / "both" / "trees-all") for value in event.summary.value]
    assert told.count("loss") == len(seen) == 50


def test_what_the_time_does_not_suffice_for_is_left_out_and_the_first_is_not(fitted, tmp_path, monkeypatch):
    both, found = fitted
    hasty = replace(workload, training=replace(workload.training, fit_time=timedelta(microseconds=1)))
    monkeypatch.setattr(_fitting, "load", lambda _: hasty)
    Attempts(tmp_path, monkeypatch)
    done = fit_candidates(asdict(both))
    assert [each["candidate"] for each in done] == ["trees-all", "trees-all-refit"]
    assert all(each["lineage"]["ended_by_fit_time"] for each in done)
    assert not any("ended_by_fit_time" in each["lineage"] for each in found)


def slow_encode(batch):
    time.sleep(0.05)
    return workload.encode(batch)


def test_both_kinds_end_within_the_time_and_what_is_fitted_again_does_as_many_epochs(
    fitted, tmp_path, monkeypatch, capsys
):
    limit = timedelta(seconds=12)
    training = replace(workload.training, fit_time=limit, epochs=10_000)
    slow = replace(
        workload, encode=slow_encode, training=training, trees=replace(workload.trees, rounds=10**6, patience=10**6)
    )
    monkeypatch.setattr(_fitting, "load", lambda _: slow)
    Attempts(tmp_path, monkeypatch)
    began_s = time.monotonic()
    done = fit_candidates(asdict(fitted[0]))
    assert time.monotonic() - began_s < 5 * limit.total_seconds()  # hours, were it not ended
    assert [each["candidate"] for each in done] == ["trees-all", "trees-all-refit", "all", "all-refit"]
    assert all(each["lineage"]["ended_by_fit_time"] for each in done)
    chosen = [
        json.loads(read_bundle(each["bundle_uri"], each["bundle_hash"])["lineage.json"])["best_epoch"] for each in done
    ]
    assert (chosen[0], chosen[2]) == (chosen[1], chosen[3])
    told = capsys.readouterr().out
    assert re.search(r"candidate trees-all: .* ended after \d+ rounds, its share of fit_time was over", told)
    assert re.search(r"candidate all: .* ended after \d+ epochs, its share of fit_time was over", told)


def test_a_fit_under_way_that_is_left_out_when_its_run_goes_on_too_late_does_not_end_the_run(
    fitted, tmp_path, monkeypatch
):
    both, found = fitted
    champion = Version(
        number=1,
        bundle_uri=found[0]["bundle_uri"],
        bundle_hash=found[0]["bundle_hash"],
        last_event_at=datetime.fromisoformat(found[0]["lineage"]["last_event_at"]),
    )
    contest = replace(both, champion=asdict(champion))
    attempts = Attempts(tmp_path, monkeypatch)
    attempts.die_after = 4  # 50 rounds of trees, all of them, their bundle, and the first epoch of the network
    with pytest.raises(Killed):
        fit_candidates(asdict(contest))
    assert attempts.values[-1] == {"num_epochs": 1, "num_steps": 0}
    hasty = replace(workload, training=replace(workload.training, fit_time=timedelta(microseconds=1)))
    monkeypatch.setattr(_fitting, "load", lambda _: hasty)
    done = fit_candidates(asdict(contest))
    assert [each["candidate"] for each in done] == ["trees-all", "trees-all-refit"]


@pytest.mark.parametrize(("champion", "candidate"), [(NETWORK, TREES), (TREES, NETWORK)])
def test_one_kind_is_tried_in_the_shadow_of_the_other(bundles, tmp_path, champion, candidate):
    async def scenario():
        trial = record(bundles, champion=champion, candidate=candidate, share=0.0)
        async with serving(workload, tmp_path, trial) as served:
            answer = await served.predict(*ROWS)
            await settled(served, len(ROWS))
        assert answer["model_version"] == champion
        assert np.allclose(answer["predictions"], expected(bundles[champion], ROWS), atol=1e-6)
        found = shadows(tmp_path)
        assert {(row["version"], row["error"]) for row in found} == {(candidate, None)}
        assert np.allclose([row["probability"] for row in found], expected(bundles[candidate], ROWS), atol=1e-6)

    run(scenario)


def test_a_canary_of_trees_shares_the_rows_and_a_rollback_brings_the_network_back(bundles, tmp_path):
    async def scenario():
        trial = record(bundles, candidate=TREES, share=0.5)
        network, trees = (np.array(expected(bundles[number], ROWS)) for number in (NETWORK, TREES))
        by_trees = np.array([arm(route_of(trial), row["reading"]) == "candidate" for row in ROWS])
        assert 0 < by_trees.sum() < len(ROWS)
        async with serving(workload, tmp_path, trial) as served:
            answer = await served.predict(*ROWS)
            assert np.allclose(answer["predictions"], np.where(by_trees, trees, network), atol=1e-6)
            await served.predictor.reconfigure(record(bundles, epoch=2, champion=TREES, previous=NETWORK))
            assert np.allclose((await served.predict(*ROWS))["predictions"], trees, atol=1e-6)
            await served.predictor.reconfigure(record(bundles, epoch=3, champion=NETWORK, previous=TREES))
            assert np.allclose((await served.predict(*ROWS))["predictions"], network, atol=1e-6)

    run(scenario)
