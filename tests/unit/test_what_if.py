"""A past period under other limits: the same limits give the turns that were."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from heliostat import Loop
from heliostat.errors import ContractError
from heliostat.gates import Hold, Promote
from heliostat.govern.commands import Ended, Submit
from heliostat.govern.events import Asked, Matured, RunEnded, RunLost, Ticked
from heliostat.govern.turn import LoopState
from heliostat.govern.what_if import Past, changed, what_if

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LOOP = Loop(cooldown=6 * DAY, canary_shares=(), follow_ups=True)
TRIGGERS = ("decay", "growth", "age")


def lived(seed: int, loop: Loop = LOOP, *, moving: float = 0.0, rows_per_day: float = 0.0) -> Past:
    """A year of the loop under `loop`: asks by chance, runs that end by chance after up to three days.

    A share `moving` of the turns sees the world move.
    """
    chance, state = random.Random(seed), LoopState(loop)
    asks: list[Asked] = []
    turns = []
    running: tuple[Submit, datetime] | None = None
    for day in range(365):
        at, commands = START + day * DAY, []
        if chance.random() < 0.08:
            ask = Asked(
                at=at,
                reasons=(f"reason {day}",),
                triggers=(chance.choice(TRIGGERS),),
                onset_at=at - DAY,
                detected_at=at,
            )
            asks.append(ask)
            commands += state.handle(ask)
        since_change = at - (state.world.changed_at or at)
        commands += state.handle(Matured(at=at, num_since_change=10 * since_change.days))
        if running is not None and at >= running[1]:
            commands += _ended(state, running[0], at, chance, is_moving=moving > 0 and chance.random() < moving)
            running = None
        commands += state.handle(Ticked(at=at))
        for command in commands:
            if isinstance(command, Submit) and command.attempt == 1:
                running = command, at + chance.randrange(1, 4) * DAY
            if isinstance(command, Ended):
                turns.append(command.record)
        state.finish()
    return Past(asks=asks, turns=turns, rows_per_day=rows_per_day)


def _ended(state: LoopState, run: Submit, at: datetime, chance: random.Random, *, is_moving: bool) -> list:
    if chance.random() < 0.1:
        lost = [RunLost(at=at, turn=run.turn, attempt=attempt, why="its job is gone") for attempt in (1, 2, 3)]
        return [command for event in lost for command in state.handle(event)]
    kind = chance.choice([Promote, Hold])
    verdict = kind((f"run {run.turn}",))
    return state.handle(
        RunEnded(at=at, turn=run.turn, attempt=1, candidate=run.turn, verdict=verdict, is_moving=is_moving)
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_same_policy_gives_the_same_turns(seed):
    past = lived(seed)
    assert len(past.turns) > 5
    found = what_if(past, LOOP)
    told = [(one.record.started_at, one.record.ended_at, one.record.reasons, one.outcome) for one in found]
    assert told[: len(past.turns)] == [(one.started_at, one.ended_at, one.reasons, one.outcome) for one in past.turns]
    assert not any(one.is_assumed for one in found[: len(past.turns)])


@pytest.mark.parametrize("max_rows", [None, 50])
@pytest.mark.parametrize("seed", range(10))
def test_the_same_policy_gives_the_same_turns_where_the_world_moved_and_traffic_is_known(seed, max_rows):
    loop = replace(LOOP, max_follow_up_rows=max_rows)
    past = lived(seed, loop, moving=0.7, rows_per_day=10.0)
    found = what_if(past, loop)
    told = [(one.record.started_at, one.record.ended_at, {*one.record.reasons}, one.outcome) for one in found]
    lived_through = [(one.started_at, one.ended_at, {*one.reasons}, one.outcome) for one in past.turns]
    assert told[: len(lived_through)] == lived_through


def test_the_same_policy_repeats_turns_that_were_tried_on_live_rows_with_their_outcome():
    past = lived(1)
    turns = [replace(turn, outcome="rolled_back") if turn.outcome == "held" else turn for turn in past.turns]
    found = what_if(Past(asks=past.asks, turns=turns), replace(LOOP, canary_shares=(0.25,), shadow_span=DAY))
    assert [one.outcome for one in found][: len(turns)] == [turn.outcome for turn in turns]


def test_a_shorter_cooldown_turns_sooner_and_says_what_it_assumes():
    past = lived(0)
    soon = what_if(past, changed(LOOP, "cooldown=1d")[0])
    assert len(soon) > len(past.turns)
    assumed = [one for one in soon if one.is_assumed]
    assert assumed
    by_number = {turn.turn: turn for turn in past.turns}
    for one in assumed:
        assert one.outcome == by_number[one.like].outcome
        assert one.record.started_at not in {turn.started_at for turn in past.turns}


def test_a_limit_of_turns_is_kept():
    assert len(what_if(lived(3), changed(LOOP, "max_turns=2")[0])) == 2


def test_what_a_trigger_asked_for_can_be_left_out():
    past = lived(4)
    loop, ignored = changed(LOOP, "ignore=growth+age")
    left_out = {ask.reasons[0] for ask in past.asks if ask.triggers[0] in ignored}
    assert left_out
    found = what_if(past, loop, ignored=ignored)
    assert not left_out & {reason for one in found for reason in one.record.reasons}


def test_without_follow_ups_their_turns_are_not_taken():
    past = lived(3)
    assert any("labelled rows since the change" in reason for turn in past.turns for reason in turn.reasons)
    found = what_if(past, changed(replace(LOOP, max_follow_up_rows=500), "follow_ups=no")[0])
    assert not any("labelled rows since the change" in reason for one in found for reason in one.record.reasons)


def test_a_period_without_any_end_of_a_turn_is_refused_in_a_sentence():
    with pytest.raises(ContractError, match="No turn ended in that period"):
        what_if(replace(lived(3), turns=[]), LOOP)


def test_nothing_asked_gives_no_turns():
    assert what_if(Past(asks=[], turns=[]), LOOP) == []


@pytest.mark.parametrize(
    "text", ["cooldown=soon", "cooldown=", "max_turns=-1", "follow_ups=maybe", "ignore=", "margin=1"]
)
def test_what_is_not_understood_is_named(text):
    with pytest.raises(ContractError, match="is not understood; give cooldown=1d"):
        changed(LOOP, text)


def test_an_empty_change_is_the_same_policy():
    assert changed(LOOP, "") == (LOOP, frozenset())
    assert changed(LOOP, "cooldown=12h, follow_ups=yes")[0].cooldown == timedelta(hours=12)
