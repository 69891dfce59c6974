"""The turns of a period worked out again from a catalog's journal, without Ray."""

import argparse
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest

from actors.monitor import STATE
from heliostat import Loop
from heliostat.errors import ContractError
from heliostat.gates import Promote
from heliostat.govern.commands import Ended, Submit
from heliostat.govern.events import Asked, RunEnded, Ticked
from heliostat.govern.stored import record_to_json
from heliostat.govern.turn import LoopState
from heliostat.store.lake import Lake
from heliostat.watch.events import Retrain
from heliostat.watch.followed import RETRAIN, Followed
from heliostat.watch.labelled import Labelled
from heliostat.workload import load
from jobs import _entry
from jobs._what_if import show_what_if
from tests.stage import set_up

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LOOP = Loop(cooldown=6 * DAY, canary_shares=(), follow_ups=True)
ASKED_ON = (1, 3, 20, 24, 60)


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A catalog whose journal holds what monitor and steward write: five asks, and the turns that followed."""
    stage = set_up(tmp_path / "home", monkeypatch, lake=Lake(str(tmp_path / "lake")))
    state = LoopState(LOOP)
    for day in range(80):
        at = START + day * DAY
        commands = _asked(stage.catalog, state, at) if day in ASKED_ON else []
        commands += state.handle(Ticked(at=at))
        for command in list(commands):
            if isinstance(command, Submit):
                promoted = Promote(("better",))
                commands += state.handle(RunEnded(at=at, turn=command.turn, attempt=1, candidate=1, verdict=promoted))
        for command in commands:
            if isinstance(command, Ended):
                written = record_to_json(command.record)
                payload = {"at": written["ended_at"], **written, "numbers": {}}
                stage.catalog.append("turn_ended", "toy", payload, by="steward", at=at)
        state.finish()
    return stage


def _asked(catalog, state, at):
    """What the monitor writes, and what the loop hears of it."""
    conditions = [{"trigger": "decay"}]
    ask = Retrain(reasons=(f"{at:%d %B}",), onset_at=at, detected_at=at, evidence={"conditions": conditions})
    payload = json.loads(json.dumps(asdict(ask), default=datetime.isoformat))
    catalog.append(RETRAIN, "toy", payload, by="monitor", at=at)
    return state.handle(Asked(at=at, reasons=ask.reasons, triggers=("decay",), onset_at=at, detected_at=at))


def _job(stage, what_if, *, days=80, loop=LOOP):
    return _entry.Job(
        settings=stage.settings,
        module="tests.toy_quick",
        workload=replace(load("tests.toy_quick"), loop=loop),
        lake=stage.lake,
        catalog=stage.catalog,
        options=argparse.Namespace(since=START, until=START + days * DAY, what_if=what_if),
    )


def test_the_same_limits_give_the_turns_that_were(stage, capsys):
    result = show_what_if(_job(stage, ""))
    assert (result["turns_were"], result["turns"], result["assumed"]) == (5, 5, 0)
    was, would = capsys.readouterr().out.split("with the same limits: 5 turns\n")
    assert was.splitlines()[1:] == would.splitlines()


def test_other_limits_give_other_turns_and_say_what_is_assumed(stage, capsys):
    result = show_what_if(_job(stage, "cooldown=1d"))
    assert [one["started_at"][:10] for one in result["what_if"]][:2] == ["2024-03-02", "2024-03-04"]
    assert result["assumed"] == 2
    assert "assumed to end as the one nearest in time" in capsys.readouterr().out
    assert show_what_if(_job(stage, "max_turns=1"))["turns"] == 1


def test_other_follow_ups_are_counted_by_the_rows_that_the_monitor_kept(stage):
    without = replace(LOOP, follow_ups=False)
    with pytest.raises(ContractError, match="the monitor has kept none of the period"):
        show_what_if(_job(stage, "follow_ups=yes", loop=without))
    labelled = Labelled(num_by_since=tuple((START + day * DAY, 10) for day in range(80)))
    stage.catalog.put_state("toy", STATE, Followed(labelled=labelled).to_json(), by="monitor", at=START)
    found = show_what_if(_job(stage, "follow_ups=yes,max_follow_up_rows=30", loop=without))["what_if"]
    assert any("labelled rows since the change" in reason for one in found for reason in one["reasons"])


def test_only_the_period_counts(stage):
    result = show_what_if(_job(stage, "", days=22))
    assert (result["turns_were"], result["turns"]) == (3, 3)
