"""A past period under other limits: the same limits give the turns that were."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from heliostat import Loop
from heliostat.errors import ContractError, WorkloadError
from heliostat.gates import Hold, Promote
from heliostat.govern.commands import Ended, Submit
from heliostat.govern.events import Asked, Matured, RunEnded, RunLost, Ticked
from heliostat.govern.limits import changed
from heliostat.govern.turn import LoopState
from heliostat.govern.what_if import Past, what_if

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


def _counted(past: Past, *, limits: Loop = LOOP) -> Past:
    """The same period with the ten rows a day that fell due in it."""
    labelled = [(START + day * DAY, 10) for day in range(365)]
    return replace(past, limits=limits, labelled=labelled, until=START + 365 * DAY)


def _follow_ups(found: list) -> list[int]:
    """The labelled rows since the change at which turns followed up."""
    told = [reason for one in found for reason in one.record.reasons if "labelled rows since the change" in reason]
    return [int(reason.split()[0].replace(",", "")) for reason in told]


@pytest.mark.parametrize("seed", range(5))
def test_what_is_known_of_labelled_rows_changes_nothing_while_follow_ups_stay_as_they_were(seed):
    past = lived(seed)
    assert what_if(_counted(past), LOOP) == what_if(past, LOOP)


def test_follow_ups_at_most_so_many_rows_apart_come_sooner():
    past = _counted(lived(3))
    sooner = _follow_ups(what_if(past, changed(LOOP, "max_follow_up_rows=30")[0]))
    assert len(sooner) > len(_follow_ups(what_if(past, LOOP)))
    assert min(sooner) <= 50


def test_follow_ups_that_were_not_declared_then_are_counted():
    without = replace(LOOP, follow_ups=False)
    past = lived(3, without)
    assert not _follow_ups(what_if(past, without))
    loop = changed(without, "follow_ups=yes")[0]
    assert _follow_ups(what_if(_counted(past, limits=without), loop))
    with pytest.raises(ContractError, match="monitor has kept none of the period; leave out follow_ups"):
        what_if(replace(past, limits=without), loop)


def test_what_a_turn_costs_and_gains_may_be_told_afterwards():
    past = lived(0)
    turns = [replace(turn, cpu_s=3600.0, gain=0.1, outcome="promoted") for turn in past.turns]
    past = replace(past, turns=turns, rows_per_day=10.0)
    dear = what_if(past, changed(LOOP, "value_per_loss=0.001,cost_per_cpu_hour=1,horizon=10d")[0])
    worth = what_if(past, changed(LOOP, "value_per_loss=1,cost_per_cpu_hour=1,horizon=10d")[0])
    assert len(dear) < len(worth) == len(what_if(past, LOOP))
    saved = what_if(past, changed(LOOP, "value_per_loss=1,cost_per_cpu_hour=1,budget=2,budget_span=90d")[0])
    assert len(dear) < len(saved) < len(worth)


def test_a_period_without_any_end_of_a_turn_is_refused_in_a_sentence():
    with pytest.raises(ContractError, match="No turn ended in that period"):
        what_if(replace(lived(3), turns=[]), LOOP)


def test_nothing_asked_gives_no_turns():
    assert what_if(Past(asks=[], turns=[]), LOOP) == []


@pytest.mark.parametrize(
    "text",
    [
        "cooldown=soon",
        "cooldown=",
        "cooldown=5",
        "max_turns=-1",
        "follow_ups=maybe",
        "ignore=",
        "margin=1",
        "budget=nan",
    ],
)
def test_what_is_not_understood_is_named(text):
    with pytest.raises(ContractError, match="is not understood; give cooldown=1d"):
        changed(LOOP, text)


def test_what_only_fitting_again_would_tell_is_refused():
    for text in ("canary_span=2d", "holdout_span=7d", "max_archived=8", "probation=10d"):
        with pytest.raises(ContractError, match="which the journal cannot tell; declare it, and replay the period"):
            changed(LOOP, text)
    with pytest.raises(ContractError, match="declares no economics; give both value_per_loss"):
        changed(LOOP, "budget=5")
    with pytest.raises(WorkloadError, match="declare follow_ups=True"):
        changed(replace(LOOP, follow_ups=False), "max_follow_up_rows=100")


def test_none_takes_a_limit_away():
    limited = replace(LOOP, max_turns=3, max_follow_up_rows=50)
    assert changed(limited, "max_turns=none,max_follow_up_rows=none") == (LOOP, frozenset())


def test_an_empty_change_is_the_same_policy():
    assert changed(LOOP, "") == (LOOP, frozenset())
    assert changed(LOOP, "cooldown=12h, follow_ups=yes")[0].cooldown == timedelta(hours=12)
