"""The steward on a real catalog: a turn from its reason to promotion, or back, however often the steward is killed."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from actors import hearing
from actors.watch import Watch
from cluster import applications, submit
from heliostat.errors import CatalogError, ClusterError, FencedError
from heliostat.govern.quarantine import KEPT_OUT, RELEASED
from tests.stage import START, set_up
from tests.toy_lake import answer, rows_of, shadow, tell
from tests.toy_quick import workload

DAY = timedelta(days=1)
FIRST = "toy-turn-1-attempt-1"
CANARY_ROWS = rows_of(since=START + 3 * DAY, until=START + 10 * DAY)
WATCH = Watch(workload="toy", columns=tuple(workload.columns), triggers=(), loop=workload.loop)


@pytest.fixture
def stage(tmp_path, monkeypatch, first_run):
    return made(tmp_path / "home", monkeypatch, first_run)


def made(home, patch, first_run, watch=WATCH):
    stage = set_up(home, patch, watch=watch)
    first_run.register(stage.catalog)
    stage.catalog.promote("toy", 1, reasons=(), inputs={"clock": START.isoformat()}, by="admin", at=START)
    return stage


def ask(stage, why="drift", *, at=START):
    said = {"reasons": [why], "onset_at": at - DAY, "detected_at": at, "evidence": {}}
    stage.catalog.append("retrain_asked", "toy", said, by="monitor/toy", at=at)


def end_run(stage, verdict="promote", *, turn=1, attempt=1, version=4, **given):
    """The job did its work: its result is in the catalog, and the job API says that it succeeded."""
    name = f"toy-turn-{turn}"
    result = {
        "version": version,
        "verdict": verdict,
        "reasons": [f"gates say {verdict}"],
        "scores": {"log_loss": 0.6},
        **given,
    }
    stage.catalog.start_run(name, "toy", job="train", params={}, by="s", at=START)
    stage.catalog.end_run(name, status="succeeded", result={**result, "holdout_rows": 9}, by="s", at=START)
    stage.end_job(f"{name}-attempt-{attempt}", submit.SUCCEEDED)


def serve_canary(stage):
    """A week of rows that both versions answered alike; what became of them nobody knows yet."""
    answer(stage.lake, CANARY_ROWS)
    shadow(stage.lake, CANARY_ROWS, version=4)


def advance(stage, days):
    return stage.steward.advance(START + days * DAY)


def outcomes(stage):
    return [payload["outcome"] for _, payload in stage.said("turn_ended")]


TURN = [
    lambda stage: advance(stage, 0),
    ask,
    lambda stage: advance(stage, 1),
    lambda stage: ask(stage, "age", at=START + DAY),
    lambda stage: advance(stage, 2),
    end_run,
    serve_canary,
    lambda stage: advance(stage, 3),
    lambda stage: advance(stage, 4),
    lambda stage: advance(stage, 10),
    lambda stage: ask(stage, "growth", at=START + 10 * DAY),
    lambda stage: advance(stage, 11),
    lambda stage: advance(stage, 24),
]


def test_a_turn_goes_from_its_reason_over_the_canary_to_promotion(stage):
    phases = [status.phase for step in TURN[:10] if (status := step(stage)) is not None]
    assert phases == ["idle", "retraining", "retraining", "canary", "canary", "idle"]
    assert stage.catalog.aliases("toy") == {"champion": 4, "previous": 1}
    [(_, record)] = stage.said("turn_ended")
    assert record["reasons"] == ["drift", "age"]
    assert (record["outcome"], record["candidate"], record["attempt"]) == ("promoted", 4, 1)
    *_, (_, promoted) = stage.said("version_promoted")
    assert promoted["inputs"]["holdout_rows"] == 9
    assert stage.declared[0]["deployments"][0]["user_config"]["champion"] == 4


def test_the_loop_is_busy_only_while_a_turn_trains(stage):
    busy = [status.busy for step in TURN[:10] if (status := step(stage)) is not None]
    assert busy == [False, True, True, False, False, False]


def test_a_steward_killed_between_any_two_calls_does_what_a_steady_one_does(tmp_path, first_run):
    def told(name, before_each):
        with pytest.MonkeyPatch.context() as patch:
            stage = made(tmp_path / name, patch, first_run)
            for step in TURN:
                before_each(stage)
                step(stage)
            return stage.everything()

    steady = told("steady", lambda stage: None)
    assert told("killed", lambda stage: stage.restart()) == steady
    assert len(steady[3]) == 2  # the second turn waited for the cooldown and was submitted


@pytest.mark.parametrize("step", ["apply", "wait_until_running", "submit", "put_state"])
def test_whatever_fails_now_and_then_the_turn_ends_the_same(stage, monkeypatch, step):
    where = {"submit": submit, "put_state": stage.catalog}.get(step, applications)
    original, calls = getattr(where, step), itertools.count()

    def failing_each_third_time(*args, **options):
        if next(calls) % 3 == 0:
            raise ClusterError("Nobody answered.")
        return original(*args, **options)

    monkeypatch.setattr(where, step, failing_each_third_time)

    def insist(days):
        for _ in range(20):
            try:
                return advance(stage, days)
            except ClusterError:
                stage.restart()
        pytest.fail("it never went on")

    ask(stage)
    insist(1)
    end_run(stage)
    serve_canary(stage)
    for days in (3, 4, 10):
        insist(days)
    assert outcomes(stage) == ["promoted"]
    assert [identifier for identifier, _ in stage.submitted] == [FIRST]
    assert [payload["version"] for _, payload in stage.said("version_promoted")] == [1, 4]


def test_an_ask_is_not_lost_when_the_job_api_fails_meanwhile(stage, monkeypatch):
    ask(stage)
    advance(stage, 1)
    ask(stage, "age", at=START + DAY)
    state = submit.state

    def unreachable(*_):
        raise ClusterError("The dashboard does not answer.")

    monkeypatch.setattr(submit, "state", unreachable)
    with pytest.raises(ClusterError):
        advance(stage, 2)
    monkeypatch.setattr(submit, "state", state)
    assert advance(stage, 2).summary == "turn 1 retraining: drift; age"


def test_the_first_asks_are_heard_again_when_they_could_not_be_stored(stage, monkeypatch):
    ask(stage)
    put_state = stage.catalog.put_state

    def full(*_, **__):
        raise CatalogError("The disk is full.")

    monkeypatch.setattr(stage.catalog, "put_state", full)
    with pytest.raises(CatalogError):
        stage.steward.advance(START)
    monkeypatch.setattr(stage.catalog, "put_state", put_state)
    assert stage.steward.advance(START).phase == "retraining"
    assert len(stage.submitted) == 1


def test_two_asks_of_one_moment_are_one_turn_with_both_reasons(stage):
    ask(stage)
    ask(stage, "age")
    assert advance(stage, 1).summary == "turn 1 retraining: drift; age"
    assert len(stage.submitted) == 1


def test_a_job_that_is_lost_is_started_again_twice_and_then_the_turn_failed(stage):
    ask(stage)
    advance(stage, 1)
    for attempt in (1, 2, 3):
        assert stage.submitted[-1][0] == f"toy-turn-1-attempt-{attempt}"
        stage.end_job(f"toy-turn-1-attempt-{attempt}", "FAILED", "the node was lost")
        advance(stage, 1 + attempt)
    assert outcomes(stage) == ["failed"]
    assert len(stage.submitted) == 3
    assert {arguments[3] for _, arguments in stage.submitted} == {"toy-turn-1"}  # --run: goes on where it stopped


def test_a_job_that_ended_without_a_word_is_started_again(stage):
    ask(stage)
    advance(stage, 1)
    stage.end_job(FIRST, "FAILED")
    assert advance(stage, 2).phase == "retraining"
    assert stage.submitted[-1][0] == "toy-turn-1-attempt-2"


def test_a_job_that_the_cluster_no_longer_knows_is_started_again(stage):
    ask(stage)
    advance(stage, 1)
    stage.job_by_id.clear()
    assert advance(stage, 2).phase == "retraining"
    assert [identifier for identifier, _ in stage.submitted] == [FIRST, "toy-turn-1-attempt-2"]


def test_a_job_that_hangs_is_stopped_and_started_again(stage, monkeypatch):
    advance(stage, 0)
    ask(stage)
    assert advance(stage, 1).busy
    monkeypatch.setattr(hearing, "ATTEMPT_TIMEOUT_S", 0.0)
    advance(stage, 2)
    assert stage.steward._restored().turn.attempt == 2


def test_a_candidate_that_the_gates_hold_gets_no_traffic(stage):
    ask(stage)
    advance(stage, 1)
    end_run(stage, "hold")
    assert advance(stage, 2).phase == "idle"
    assert outcomes(stage) == ["held"]
    assert stage.catalog.route("toy")["candidate"] is None


def test_a_run_whose_fits_broke_fails_its_turn_with_what_it_cost(stage):
    ask(stage)
    advance(stage, 1)
    end_run(stage, "hold", version=None, is_failed=True, fits=0, cpu_s=12.5)
    advance(stage, 2)
    [(_, ended)] = stage.said("turn_ended")
    assert (ended["outcome"], ended["cpu_s"], ended["num_fits"], ended["attempt"]) == ("failed", 12.5, 0, 1)
    assert stage.steward._restored().world.num_in_vain == 1


def test_a_candidate_that_answered_nothing_is_not_promoted_for_it(stage):
    ask(stage)
    advance(stage, 1)
    end_run(stage)
    advance(stage, 2)
    assert advance(stage, 9).phase == "canary"
    assert advance(stage, 2 + 70).phase == "idle"
    assert outcomes(stage) == ["rolled_back"]
    assert stage.catalog.aliases("toy") == {"champion": 1}


def test_a_candidate_that_is_clearly_worse_on_live_rows_is_rolled_back(stage):
    ask(stage)
    advance(stage, 1)
    end_run(stage)
    advance(stage, 2)
    rows = rows_of(since=START + 2 * DAY, until=START + 9 * DAY)
    labels = [0.5 if label is None else label for label in rows["label"].to_pylist()]
    answer(stage.lake, rows, probability=[0.95 if label else 0.05 for label in labels])
    shadow(stage.lake, rows, version=4, probability=[0.05 if label else 0.95 for label in labels])
    tell(stage.lake, rows)
    advance(stage, 16)
    assert outcomes(stage) == ["rolled_back"]
    assert stage.catalog.aliases("toy") == {"champion": 1}


@pytest.mark.parametrize("act", ["hold", "promote", "rollback"])
def test_a_person_ends_the_turn_that_runs(stage, act):
    stage.catalog.promote("toy", 2, reasons=(), inputs={"clock": START.isoformat()}, by="admin", at=START)
    ask(stage)
    advance(stage, 1)
    getattr(stage.steward, act)(*([3] if act == "promote" else []), "mia")
    assert stage.job_by_id[FIRST].status == "STOPPED"
    assert outcomes(stage) == ["held"]
    expected = {"hold": 2, "promote": 3, "rollback": 1}[act]
    assert stage.catalog.aliases("toy")["champion"] == expected
    assert advance(stage, 2).phase == "idle"


def test_the_same_rollback_heard_twice_is_done_once(stage):
    stage.catalog.promote("toy", 2, reasons=(), inputs={"clock": START.isoformat()}, by="admin", at=START)
    for _ in range(2):
        stage.restart().rollback("mia", 2)
        assert stage.catalog.aliases("toy") == {"champion": 1, "previous": 2}


def test_a_clock_that_does_not_move_asks_the_monitor_nothing_new(stage):
    advance(stage, 5)
    stored = stage.catalog.get_state("toy", "monitor")
    assert advance(stage, 4).clock == START + 5 * DAY
    assert stage.catalog.get_state("toy", "monitor") == stored


def test_a_copy_that_was_cut_off_starts_nothing(stage):
    cut_off = stage.steward
    cut_off.advance(START)
    stage.restart()
    advance(stage, 1)
    ask(stage, at=START + DAY)
    before = stage.everything()
    with pytest.raises(FencedError):
        cut_off.advance(START)
    assert stage.everything() == before


SHADOWED = replace(WATCH, loop=replace(WATCH.loop, shadow_span=DAY))
PLANTED = {
    "slow": ({"latency_ms": 200.0}, "takes 200.0 ms a batch"),
    "raising": ({"probability": None, "error": "failed on these rows"}, "failed on"),
    "other": ({"probability": 0.99}, "on the hold-out it was 0.010"),
}


@pytest.mark.parametrize("watch", [SHADOWED, WATCH], ids=["shadow", "canary"])
@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_model_never_reaches_full_traffic_and_the_journal_says_why(
    tmp_path, monkeypatch, first_run, planted, watch
):
    stage = made(tmp_path / "home", monkeypatch, first_run, watch=watch)
    given, reason = PLANTED[planted]
    ask(stage)
    advance(stage, 1)
    end_run(stage, inputs={"distance": 0.01})
    trial = advance(stage, 3)
    assert (trial.phase, stage.catalog.route("toy")["share"]) == (
        ("shadow", 0.0) if watch is SHADOWED else ("canary", 0.25)
    )
    answer(stage.lake, CANARY_ROWS)
    shadow(stage.lake, CANARY_ROWS, version=4, **given)
    for days in (4, 10, 11, 30):
        advance(stage, days)
    assert outcomes(stage) == ["rolled_back"]
    assert [payload["version"] for _, payload in stage.said("version_promoted")] == [1]
    [(_, withdrawn)] = stage.said("candidate_withdrawn")
    assert reason in withdrawn["reasons"][0]
    assert (withdrawn["reasons"], stage.catalog.route("toy")["candidate"]) == (
        stage.said("turn_ended")[0][1]["outcome_reasons"],
        None,
    )


def test_a_good_candidate_goes_from_the_shadow_over_the_canary_to_all_traffic(tmp_path, monkeypatch, first_run):
    stage = made(tmp_path / "home", monkeypatch, first_run, watch=SHADOWED)
    ask(stage)
    advance(stage, 1)
    end_run(stage, inputs={"distance": 0.01})
    phases = [advance(stage, 3).phase]
    serve_canary(stage)
    phases += [advance(stage, days).phase for days in (3.5, 4, 5, 11)]
    assert phases == ["shadow", "shadow", "canary", "canary", "idle"]
    assert outcomes(stage) == ["promoted"]
    assert [payload["share"] for _, payload in stage.said("candidate_set")] == [0.0, 0.25]


def test_after_a_change_the_loop_turns_again_when_the_labelled_rows_have_tripled(stage):
    rows = rows_of(since=START - DAY, until=START + 30 * DAY)
    answer(stage.lake, rows)
    tell(stage.lake, rows)
    advance(stage, 0)
    conditions = [{"trigger": "decay"}]
    said = {"reasons": ["decay"], "onset_at": START, "detected_at": START, "evidence": {"conditions": conditions}}
    stage.catalog.append("retrain_asked", "toy", said, by="monitor/toy", at=START)
    advance(stage, 8)
    end_run(stage, "hold")
    phases = [advance(stage, days).phase for days in (9, 16, 22, 23)]
    assert phases == ["idle", "idle", "idle", "retraining"]
    assert "labelled rows since the change" in stage.steward.status().summary
    assert stage.submitted[-1][1][6:8] == ["--onset", START.isoformat()]
    assert "--in-doubt" in stage.submitted[-1][1]


def told_after_its_promotion(stage):
    """Labels that speak surely against a candidate which was promoted before they came."""
    ask(stage)
    advance(stage, 1)
    end_run(stage)
    advance(stage, 2)
    rows = rows_of(since=START + 2 * DAY, until=START + 9 * DAY)
    labels = [0.5 if label is None else label for label in rows["label"].to_pylist()]
    answer(stage.lake, rows, probability=[0.55 if label else 0.45 for label in labels])
    shadow(stage.lake, rows, version=4, probability=[0.45 if label else 0.55 for label in labels])
    advance(stage, 10)
    assert (outcomes(stage), stage.catalog.aliases("toy")["champion"]) == (["promoted"], 4)
    tell(stage.lake, rows)


def test_labels_that_come_after_the_promotion_take_it_back(stage):
    told_after_its_promotion(stage)
    advance(stage, 20)
    assert stage.catalog.aliases("toy")["champion"] == 1
    [(_, rolled_back)] = stage.said("version_rolled_back")
    assert "worse by evidence" in rolled_back["reasons"][0]
    advance(stage, 24)
    assert stage.catalog.aliases("toy")["champion"] == 1


def test_labels_of_a_source_that_is_shut_out_take_nothing_back(stage):
    told_after_its_promotion(stage)
    span = {"since": START.isoformat(), "until": (START + 90 * DAY).isoformat()}
    stage.catalog.append(KEPT_OUT, "toy", {"source": "unknown", **span, "reason": "broken meter"}, by="a", at=START)
    advance(stage, 20)
    assert stage.catalog.aliases("toy")["champion"] == 4
    released = {"source": "unknown", **span, "reason": "it was right"}
    stage.catalog.append(RELEASED, "toy", released, by="a", at=START)
    advance(stage, 24)
    assert stage.catalog.aliases("toy")["champion"] == 1


@pytest.mark.parametrize("is_returned", [True, False])
def test_a_champion_that_returned_is_not_followed_up(stage, is_returned):
    rows = rows_of(since=START - DAY, until=START + 30 * DAY)
    answer(stage.lake, rows)
    shadow(stage.lake, rows, version=4)
    tell(stage.lake, rows)
    advance(stage, 0)
    conditions = [{"trigger": "decay"}]
    said = {"reasons": ["decay"], "onset_at": START, "detected_at": START, "evidence": {"conditions": conditions}}
    stage.catalog.append("retrain_asked", "toy", said, by="monitor/toy", at=START)
    advance(stage, 8)
    end_run(stage, is_returned=is_returned)
    for days in (9, 17):
        advance(stage, days)
    assert outcomes(stage) == ["promoted"]
    follow_ups = stage.catalog.get_state("toy", "steward")["state"]["world"]["follow_ups"]
    assert follow_ups["is_following"] is not is_returned
    [promoted] = [said for _, said in stage.said("version_promoted") if said["version"] == 4]
    assert promoted["inputs"]["is_returned"] is is_returned
