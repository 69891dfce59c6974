"""The hands of the steward: what each command does, and that doing it twice changes nothing the second time."""

from datetime import timedelta

import pytest

from actors.commanding import Commander, run_id, submission_id
from actors.leases import Holder
from cluster import applications
from heliostat.errors import ClusterError, FencedError
from heliostat.govern.commands import (
    Deferred,
    Ended,
    MakeChampion,
    Refused,
    Route,
    Stop,
    Submit,
    TurnRecord,
    Withdraw,
)
from tests.stage import START, set_up

DAY = timedelta(days=1)
SUBMIT = Submit(turn=1, attempt=1, as_of=START, onset_at=START - DAY)
ENDED = Ended(
    record=TurnRecord(
        turn=1,
        reasons=("drift",),
        onset_at=START - DAY,
        detected_at=START,
        started_at=START,
        ended_at=START + DAY,
        outcome="held",
        outcome_reasons=("worse",),
    )
)
COMMANDS = [
    SUBMIT,
    Stop(turn=1, attempt=1),
    Route(turn=1, version=2, share=0.25),
    MakeChampion(turn=1, version=2, reasons=("better",)),
    Withdraw(turn=1, version=2, reasons=("worse",)),
    ENDED,
    Deferred(reasons=("drift",), until=START + 14 * DAY),
    Refused(reasons=("drift",), why="all 3 turns are used"),
]


@pytest.fixture
def stage(tmp_path, monkeypatch, first_run):
    stage = set_up(tmp_path, monkeypatch)
    first_run.register(stage.catalog)
    stage.catalog.promote("toy", 1, reasons=(), inputs={"clock": START.isoformat()}, by="admin", at=START)
    return stage


def commander(stage):
    return Commander(stage.watch, module="tests.toy_quick", settings=stage.settings, holder=Holder("steward/toy"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_command_carried_out_twice_changes_nothing_the_second_time(stage, command):
    if isinstance(command, Stop):
        commander(stage).carry_out(SUBMIT, clock=START)
    if isinstance(command, Withdraw):
        commander(stage).carry_out(Route(turn=1, version=2, share=0.25), clock=START)
    before = stage.everything()
    commander(stage).carry_out(command, clock=START)
    once = stage.everything()
    assert once != before
    commander(stage).carry_out(command, clock=START)  # another object: the first one was killed
    assert stage.everything() == once


def test_notes_of_one_moment_repeat_together_and_a_later_one_is_new(stage):
    deferred, refused = COMMANDS[-2:]
    for command in (deferred, refused, deferred, refused):
        commander(stage).carry_out(command, clock=START)
    assert [kind for kind, _ in stage.said("ask_deferred", "ask_refused")] == ["ask_deferred", "ask_refused"]
    commander(stage).carry_out(deferred, clock=START + DAY)
    assert len(stage.said("ask_deferred")) == 2


def test_a_submitted_job_says_which_rows_since_when_and_for_whom(stage):
    commander(stage).carry_out(SUBMIT, clock=START)
    [(identifier, arguments)] = stage.submitted
    assert identifier == submission_id("toy", 1, 1) == "toy-turn-1-attempt-1"
    assert arguments == [
        *("jobs.retrain", "tests.toy_quick", "--run", "toy-turn-1"),
        *("--as-of", START.isoformat(), "--onset", (START - DAY).isoformat(), "--in-doubt"),
        *("--by", "steward/toy"),
    ]


def test_a_job_that_was_never_submitted_needs_no_stop(stage):
    commander(stage).carry_out(Stop(turn=1, attempt=1), clock=START)
    assert stage.job_by_id == {}


def test_serve_is_told_the_route_that_the_catalog_has(stage):
    commander(stage).carry_out(Route(turn=1, version=2, share=0.25), clock=START)
    [application] = stage.declared
    told = application["deployments"][0]["user_config"]
    assert (told["champion"], told["candidate"], told["share"]) == (1, 2, 0.25)
    assert set(told["bundles"]) == {"1", "2"}
    commander(stage).carry_out(COMMANDS[3], clock=START)
    told = stage.declared[0]["deployments"][0]["user_config"]
    assert (told["champion"], told["previous"], told["candidate"]) == (2, 1, None)


def test_the_journal_says_on_what_a_champion_was_judged(stage):
    result = {"scores": {"log_loss": 0.6}, "constant": {"log_loss": 0.7}, "holdout_rows": 250, "verdict": "promote"}
    stage.catalog.start_run(run_id("toy", 1), "toy", job="train", params={}, by="s", at=START)
    stage.catalog.end_run(run_id("toy", 1), status="succeeded", result=result, by="s", at=START)
    commander(stage).carry_out(COMMANDS[3], clock=START + DAY)
    *_, (_, payload) = stage.said("version_promoted")
    judged = {name: result[name] for name in ("scores", "constant", "holdout_rows")}
    assert payload["inputs"] == {"turn": 1, "clock": (START + DAY).isoformat(), **judged}
    assert payload["reasons"] == ["better"]


def test_a_turn_is_written_down_beside_those_before_it(stage):
    second = Ended(record=TurnRecord(**{**vars(ENDED.record), "turn": 2, "outcome": "promoted"}))
    for command in (ENDED, second, ENDED):
        commander(stage).carry_out(command, clock=START)
    assert [one["outcome"] for one in stage.catalog.get_state("toy", "turns")["turns"]] == ["held", "promoted"]
    assert [payload["turn"] for _, payload in stage.said("turn_ended")] == [1, 2]


def test_a_command_whose_publishing_failed_is_done_when_it_is_done_again(stage, monkeypatch):
    working = applications.wait_until_running

    def broken(*_, **__):
        raise ClusterError("Serve does not answer.")

    monkeypatch.setattr(applications, "wait_until_running", broken)
    with pytest.raises(ClusterError):
        commander(stage).carry_out(COMMANDS[3], clock=START)
    monkeypatch.setattr(applications, "wait_until_running", working)
    commander(stage).carry_out(COMMANDS[3], clock=START)
    assert stage.catalog.aliases("toy") == {"champion": 2, "previous": 1}
    assert [payload["version"] for _, payload in stage.said("version_promoted")] == [1, 2]


def test_hands_that_were_cut_off_change_nothing_any_more(stage):
    cut_off = commander(stage)
    cut_off.carry_out(Route(turn=1, version=2, share=0.25), clock=START)
    commander(stage).carry_out(Route(turn=1, version=2, share=0.5), clock=START)
    for command in (COMMANDS[3], COMMANDS[4], ENDED, COMMANDS[-1]):
        with pytest.raises(FencedError):
            cut_off.carry_out(command, clock=START)
    assert stage.catalog.route("toy")["share"] == 0.5
