"""The fits of one run: which, on which rows, and what a worker that is killed anywhere leaves behind."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow.compute as pc
import pytest

from heliostat import cohorts
from heliostat.errors import TrainingError
from heliostat.learn.bundle import ServedModel
from heliostat.records import num_learned
from heliostat.store.bundles import read_bundle
from jobs import _windows
from jobs._attempts import NUM_BYTES, NUMBERS, Trace
from jobs._fitting import fit_candidates
from jobs._progress import Progress
from jobs._windows import Candidate, candidates, holdout_at
from jobs._windows import parts as parts_of
from tests.ray_train import Attempts, Killed
from tests.toy_quick import workload

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NOWHERE = Trace(bytearray(NUM_BYTES))


def with_windows(*windows):
    return replace(workload, training=replace(workload.training, windows=windows))


def parts(own, rows, candidate):
    return parts_of(own, rows, candidate, holdout_at=holdout_at(own, rows))


def names_of(found):
    return [candidate.name for candidate in found]


@pytest.fixture(scope="module")
def rows(first_run):
    return cohorts.training_rows(first_run.lake, workload, as_of=AS_OF)


@pytest.fixture(scope="module")
def before(rows):
    return cohorts.parted(rows, at=holdout_at(workload, rows))[0]


def test_every_declared_window_is_a_candidate(before):
    found = candidates(workload, before, as_of=AS_OF, onset_at=None)
    assert found == [Candidate(name="all", since=None), Candidate(name="last-35d", since=AS_OF - 35 * DAY)]


def test_an_onset_adds_a_candidate_only_when_enough_came_since(before):
    def tried(days):
        return names_of(candidates(workload, before, as_of=AS_OF, onset_at=AS_OF - days * DAY, is_contest=True))

    assert tried(21) == ["since-2024-02-09", "last-35d", "all"]
    assert tried(13) == ["last-35d", "all"]


def test_recent_rows_are_one_more_candidate_where_no_change_is_known_and_all_history_comes_first(before):
    found = candidates(workload, before, as_of=AS_OF, onset_at=None, num_recent=200, is_contest=True)
    assert names_of(found) == ["all", "last-35d", "recent-200"]
    changed = candidates(workload, before, as_of=AS_OF, onset_at=AS_OF - 21 * DAY, num_recent=200, is_contest=True)
    assert "recent-200" not in names_of(changed)


def test_recent_rows_that_nearly_are_a_declared_window_are_no_candidate(before):
    nearly = before.num_rows - 1
    found = candidates(workload, before, as_of=AS_OF, onset_at=None, num_recent=nearly, is_contest=True)
    assert names_of(found) == ["all", "last-35d"]


def test_without_a_contest_the_declared_windows_alone_are_fitted(before):
    found = candidates(workload, before, as_of=AS_OF, onset_at=AS_OF - 21 * DAY, num_recent=200)
    assert names_of(found) == ["all", "last-35d"]


def test_soon_after_a_change_a_third_of_the_rows_since_judges(rows):
    usual = holdout_at(workload, rows)
    onset_at = AS_OF - 16 * DAY
    _, since = cohorts.parted(rows, at=onset_at)
    later = holdout_at(workload, rows, onset_at)
    _, holdout = cohorts.parted(rows, at=later)
    assert holdout.num_rows == max(workload.loop.min_holdout_rows, since.num_rows // 3)
    assert later > usual == holdout_at(workload, rows, AS_OF - 60 * DAY)


def test_spans_of_less_than_a_day_are_different_candidates(before):
    hours = with_windows(timedelta(hours=6), timedelta(hours=12), timedelta(hours=36), timedelta(days=2))
    found = names_of(candidates(hours, before, as_of=AS_OF, onset_at=None))
    assert found == ["last-6h", "last-12h", "last-36h", "last-2d"]


def test_the_parts_of_a_candidate_follow_each_other_and_hold_every_row_once(rows):
    chosen = parts(workload, rows, Candidate(name="all", since=None))
    _, holdout = cohorts.parted(rows, at=chosen.holdout_since)
    together = [key for table in (chosen.train, chosen.validation, holdout) for key in table["key"].to_pylist()]
    assert sorted(together) == sorted(rows["key"].to_pylist())
    assert pc.max(chosen.train["event_at"]).as_py() < pc.min(chosen.validation["event_at"]).as_py()
    assert pc.max(chosen.validation["event_at"]).as_py() < chosen.holdout_since
    assert chosen.holdout_since == pc.max(rows["event_at"]).as_py() - workload.loop.holdout_span
    assert chosen.all.num_rows == rows.num_rows


def test_a_window_cuts_the_old_rows_and_has_the_same_hold_out(rows):
    whole = parts(workload, rows, Candidate(name="all", since=None))
    recent = parts(workload, rows, Candidate(name="last-35d", since=AS_OF - 35 * DAY))
    assert recent.holdout_since == whole.holdout_since
    assert pc.min(recent.train["event_at"]).as_py() >= AS_OF - 35 * DAY
    assert recent.all.num_rows < whole.all.num_rows


def test_too_few_rows_before_the_hold_out_are_counted_in_the_refusal(rows):
    with pytest.raises(TrainingError, match=r"'last-9d' has \d+ labelled rows before the hold-out .* at least 100"):
        parts(workload, rows, Candidate(name="last-9d", since=AS_OF - 9 * DAY))


def test_each_candidate_is_fitted_without_the_hold_out_and_again_with_it(first_run, rows):
    assert [each["candidate"] for each in first_run.fitted] == ["all", "all-refit", "last-35d", "last-35d-refit"]
    for judged, again in (first_run.fitted[:2], first_run.fitted[2:]):
        since = datetime.fromisoformat(judged["lineage"]["holdout_since"])
        assert datetime.fromisoformat(judged["lineage"]["last_event_at"]) < since
        assert datetime.fromisoformat(again["lineage"]["last_event_at"]) == pc.max(rows["event_at"]).as_py()
        assert again["lineage"]["refit_of"] == judged["candidate"]
        assert "refit_of" not in judged["lineage"]
        assert again["scores"] == judged["scores"]


def test_the_bundles_of_a_run_answer_and_carry_a_profile(first_run, rows):
    for each in first_run.fitted:
        files = read_bundle(each["bundle_uri"], each["bundle_hash"])
        answers = ServedModel.load(files).answers(rows.select([column.name for column in workload.columns]))
        assert ((answers > 0) & (answers < 1)).all()
        assert np.ptp(answers) > 0.01
        assert json.loads(files["profile.json"])
        assert json.loads(files["lineage.json"])["snapshot"] == {"raw": 1, "predictions": None, "labels": None}


def test_of_many_rows_those_drawn_are_answered_and_what_was_seen_is_told_of_all(first_run, tmp_path, monkeypatch):
    Attempts(tmp_path, monkeypatch)
    monkeypatch.setattr(_windows, "MOST_DRAWN", 300)
    run = replace(first_run.run, run_id="drawn", only="all")
    for drawn, whole in zip(fit_candidates(asdict(run)), first_run.fitted, strict=False):
        files, of_all = (read_bundle(each["bundle_uri"], each["bundle_hash"]) for each in (drawn, whole))
        mine, other = (json.loads(each["profile.json"]) for each in (files, of_all))
        assert 150 < mine["reference"]["num_rows"] <= 300 < other["reference"]["num_rows"]
        for kept in ("extents", "quantiles_by_column", "deviation_by_column"):
            assert mine[kept] == other[kept]
        assert files["weights.safetensors"] == of_all["weights.safetensors"]


def test_a_worker_killed_after_every_report_ends_with_the_same_bundles(first_run, tmp_path, monkeypatch):
    attempts = Attempts(tmp_path, monkeypatch)
    num_killed, fitted = 0, None
    while fitted is None:
        attempts.die_after = 1
        try:
            fitted = fit_candidates(asdict(first_run.run))
        except Killed:
            num_killed += 1
    assert fitted == first_run.fitted
    # Two candidates, each fitted twice: a report an epoch and one at the end. More would be work done again.
    assert num_killed == len(attempts.values) == 2 * 2 * (2 + 1)


def test_a_fit_that_was_killed_takes_its_time_once_and_not_once_an_attempt(first_run, tmp_path, monkeypatch, capsys):
    (tmp_path / "attempts").mkdir()
    limited = replace(first_run.run, run_id="timed", module="tests.toy_timed", attempts_dir=str(tmp_path / "attempts"))
    attempts = Attempts(tmp_path / "checkpoints", monkeypatch)
    attempts.die_after = 3  # when the first candidate is done
    with pytest.raises(Killed):
        fit_candidates(asdict(limited))
    # The time of that attempt is over, whatever it took here.
    [trace] = (tmp_path / "attempts").iterdir()
    trace.write_bytes(NUMBERS.pack(3600.0, 0) + trace.read_bytes()[NUMBERS.size :])
    assert [each["candidate"] for each in fit_candidates(asdict(limited))] == ["all", "all-refit"]
    assert "candidate last-35d is left out: 1:00:00 have passed" in capsys.readouterr().out


def _champion(fitted):
    """The version that serves, as a run is told of it."""
    return {
        "number": 1,
        "bundle_uri": fitted["bundle_uri"],
        "bundle_hash": fitted["bundle_hash"],
        "last_event_at": datetime.fromisoformat(fitted["lineage"]["last_event_at"]),
    }


def test_a_run_with_warm_starts_goes_on_from_the_champion_on_the_rows_since(first_run, tmp_path, monkeypatch):
    earlier = replace(first_run.run, run_id="toy-warm-1", module="tests.toy_warm", as_of=AS_OF - 30 * DAY)
    Attempts(tmp_path / "first", monkeypatch)
    _, champion = fit_candidates(asdict(earlier))
    run = replace(earlier, run_id="toy-warm-2", as_of=AS_OF, champion=_champion(champion))
    Attempts(tmp_path / "second", monkeypatch)
    fitted = fit_candidates(asdict(run))
    warm, whole, again = fitted
    assert [each["candidate"] for each in fitted[:2]] == ["warm", "all"]
    assert again["candidate"] in ("warm-refit", "all-refit")
    assert warm["lineage"]["goes_on_from"] == 1
    assert "goes_on_from" not in whole["lineage"]
    # Growth counts from all that it knows, or so few rows of its own would ask for a turn after a handful more.
    assert num_learned(warm["lineage"]) == champion["lineage"]["num_rows"] + warm["lineage"]["num_rows"]
    assert warm["lineage"]["first_event_at"] > champion["lineage"]["last_event_at"]
    assert warm["lineage"]["num_rows"] < whole["lineage"]["num_rows"]
    preparations = [
        read_bundle(each["bundle_uri"], each["bundle_hash"])["preparation.json"] for each in (warm, champion)
    ]
    assert preparations[0] == preparations[1]


def test_nothing_goes_on_from_a_champion_whose_source_was_another(first_run, tmp_path, monkeypatch, capsys):
    run = replace(first_run.run, run_id="toy-warm-3", module="tests.toy_warm", champion=_champion(first_run.fitted[0]))
    Attempts(tmp_path, monkeypatch)
    assert [each["candidate"] for each in fit_candidates(asdict(run))] == ["all", "all-refit"]
    assert "no candidate goes on from version 1" in capsys.readouterr().out


def test_nothing_goes_on_from_a_champion_that_learned_from_labels_which_are_shut_out_now(
    first_run, tmp_path, monkeypatch, capsys
):
    earlier = replace(first_run.run, run_id="toy-warm-4", module="tests.toy_warm", as_of=AS_OF - 30 * DAY)
    Attempts(tmp_path / "first", monkeypatch)
    _, champion = fit_candidates(asdict(earlier))
    span = {"source": "station-7", "since": "2024-01-01T00:00:00+00:00", "until": "2024-01-02T00:00:00+00:00"}
    run = replace(earlier, run_id="toy-warm-5", as_of=AS_OF, champion=_champion(champion), shut_out=(span,))
    Attempts(tmp_path / "second", monkeypatch)
    assert "warm" not in [each["candidate"] for each in fit_candidates(asdict(run))]
    assert "it learned from labels now shut out" in capsys.readouterr().out


def test_progress_comes_back_from_its_checkpoint(tmp_path, monkeypatch):
    Attempts(tmp_path, monkeypatch)
    assert (Progress.resumed(NOWHERE).done, Progress.resumed(NOWHERE).state) == ({}, None)
    Progress({}, None, NOWHERE).finish("all", {"candidate": "all", "scores": {"auc": 0.5}})
    again = Progress.resumed(NOWHERE)
    assert again.done == {"all": {"candidate": "all", "scores": {"auc": 0.5}}}
    assert again.state is None
