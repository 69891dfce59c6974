"""What the loop believes between its turns, and what an ask becomes by it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from heliostat import Loop
from heliostat.errors import WorkloadError
from heliostat.gates import Hold, Promote
from heliostat.govern.commands import Ended, Submit
from heliostat.govern.events import Asked, Matured, RunEnded, Ticked
from heliostat.govern.follow_ups import FollowUps
from heliostat.govern.turn import LoopState
from heliostat.govern.world import MAX_DOUBLINGS, World

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LOOP = Loop(cooldown=2 * DAY, canary_shares=(), follow_ups=True)


def asked(trigger: str, at: datetime = START) -> Asked:
    return Asked(at=at, reasons=(f"{trigger} asks",), triggers=(trigger,), onset_at=at - 3 * DAY, detected_at=at)


def held(turn: int, at: datetime) -> RunEnded:
    return RunEnded(at=at, turn=turn, attempt=1, candidate=2, verdict=Hold(("worse",)))


def loop_after(*events, loop=LOOP):
    state = LoopState(loop)
    return state, [command for event in events for command in state.handle(event)]


@pytest.mark.parametrize("trigger", ["decay", "slack", "drift"])
def test_a_change_is_dated_at_its_onset_and_puts_every_candidate_in_question(trigger):
    _, [submit] = loop_after(asked(trigger))
    assert submit == Submit(turn=1, attempt=1, as_of=START, onset_at=START - 3 * DAY, is_in_doubt=True)


def test_growth_alone_sees_no_change_and_doubts_nothing():
    _, [submit] = loop_after(asked("growth"))
    assert (submit.onset_at, submit.is_in_doubt) == (None, False)


def test_age_sees_no_change_but_doubts():
    _, [submit] = loop_after(asked("age"))
    assert (submit.onset_at, submit.is_in_doubt) == (None, True)


def test_after_a_change_follow_ups_stand_in_for_growth():
    state, _ = loop_after(asked("decay"), Matured(at=START, num_since_change=100), held(1, START))
    later = START + 9 * DAY
    assert state.handle(asked("growth", later)) == []
    assert state.handle(Matured(at=later, num_since_change=399)) == []
    [submit] = state.handle(Matured(at=later, num_since_change=400))
    assert (submit.turn, submit.onset_at, submit.is_in_doubt) == (2, START - 3 * DAY, True)
    assert state.turn.reasons == ("400 labelled rows since the change, 100 at the last turn",)


def test_where_nothing_is_followed_up_growth_goes_on_asking():
    loop = Loop(cooldown=timedelta(0), canary_shares=())
    state, _ = loop_after(asked("decay"), held(1, START), loop=loop)
    assert state.handle(Matured(at=START, num_since_change=10**6)) == []
    assert [type(one) for one in state.handle(asked("growth", START + DAY))] == [Submit]


def test_a_follow_up_waits_for_the_cooldown_like_any_ask():
    state, _ = loop_after(asked("decay"), Matured(at=START, num_since_change=1), held(1, START))
    state.handle(Matured(at=START + DAY, num_since_change=900))
    assert state.phase == "idle"
    assert [type(one) for one in state.handle(Ticked(at=START + 2 * DAY))] == [Submit]


def test_a_champion_of_the_past_that_returned_is_not_followed_up():
    world = replace(World(), follow_ups=FollowUps().started(), num_since_change=100)
    assert world.turned(is_in_vain=False, is_moving=True, is_returned=True).follow_ups.due(10**6) is None
    assert world.turned(is_in_vain=True, is_moving=True, is_returned=True).follow_ups.due(10**6) is not None


def ended(turn: int, at: datetime, *, is_moving: bool) -> RunEnded:
    return RunEnded(at=at, turn=turn, attempt=1, candidate=2, verdict=Promote(("better",)), is_moving=is_moving)


def test_a_turn_that_sees_the_world_move_is_a_change_where_follow_ups_have_a_limit():
    loop = replace(LOOP, max_follow_up_rows=500)
    state, _ = loop_after(asked("age"), ended(1, START, is_moving=True), loop=loop)
    assert (state.world.changed_at, state.world.num_since_change) == (START, 0)
    later = START + 9 * DAY
    assert state.handle(Matured(at=later, num_since_change=499)) == []
    [submit] = state.handle(Matured(at=later, num_since_change=500))
    assert (submit.onset_at, submit.is_in_doubt) == (START, True)


@pytest.mark.parametrize(
    ("loop", "is_moving"),
    [
        (LOOP, True),
        (replace(LOOP, max_follow_up_rows=500), False),
        (replace(LOOP, follow_ups=False), True),
    ],
    ids=["no limit", "calm", "no follow-ups"],
)
def test_a_turn_begins_no_follow_ups_where_it_saw_nothing_or_nobody_asked(loop, is_moving):
    state, _ = loop_after(asked("age"), ended(1, START, is_moving=is_moving), loop=loop)
    assert state.world.changed_at is None
    assert state.handle(Matured(at=START + 9 * DAY, num_since_change=10**6)) == []


def test_a_limit_on_follow_ups_that_nobody_asked_for_is_refused():
    with pytest.raises(WorkloadError, match="declare follow_ups=True, too"):
        replace(LOOP, max_follow_up_rows=500, follow_ups=False)


def test_the_onset_of_a_change_stays_while_its_turns_see_the_world_move():
    loop = replace(LOOP, max_follow_up_rows=500)
    events = asked("decay"), Matured(at=START, num_since_change=1000), ended(1, START, is_moving=True)
    state, _ = loop_after(*events, loop=loop)
    assert state.world.changed_at == START - 3 * DAY
    [submit] = state.handle(Matured(at=START + 9 * DAY, num_since_change=1500))
    assert submit.onset_at == START - 3 * DAY


def test_the_rest_of_a_reason_doubles_with_every_turn_in_vain_and_has_an_end():
    state, rests, at = LoopState(LOOP), [], START
    for turn in range(1, MAX_DOUBLINGS + 3):
        state.handle(asked("age", at))
        [ended] = [one for one in state.handle(held(turn, at)) if isinstance(one, Ended)]
        rests.append((ended.record.rests_until - at) / LOOP.cooldown)
        at += LOOP.cooldown
    assert rests == [2, 4, 8, 16, 32, 64, 64, 64]


def test_a_turn_that_changed_something_ends_the_rest():
    world = World().turned(is_in_vain=True, is_moving=False).turned(is_in_vain=False, is_moving=False)
    assert world.rest(DAY) == timedelta(0)


def test_the_world_survives_storage():
    state, _ = loop_after(asked("decay"), Matured(at=START, num_since_change=100), held(1, START))
    again = World.from_json(json.loads(json.dumps(state.world.to_json())))
    assert again == state.world
