"""The loop's state machine under every order of events."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from heliostat import Loop
from heliostat.gates import Hold, Paired, Promote
from heliostat.govern.commands import (
    Command,
    Deferred,
    Demote,
    Ended,
    MakeChampion,
    Refused,
    Route,
    Stop,
    Submit,
    Withdraw,
)
from heliostat.govern.events import Asked, Cancelled, Event, RunEnded, RunLost, Ticked, TrialSeen
from heliostat.govern.turn import LoopState

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LOOP = Loop(cooldown=14 * DAY, canary_shares=(0.1, 0.5), canary_span=DAY)


def asked(at: datetime = START, *, reasons: tuple[str, ...] = ("drift",), onset: datetime | None = None) -> Asked:
    return Asked(at=at, reasons=reasons, onset_at=onset or at - 3 * DAY, detected_at=at)


def passed(at: datetime = START + HOUR, *, turn: int = 1, attempt: int = 1, candidate: int | None = 2) -> RunEnded:
    return RunEnded(at=at, turn=turn, attempt=attempt, candidate=candidate, verdict=Promote(("better",)))


def held(at: datetime = START + HOUR, *, turn: int = 1, attempt: int = 1) -> RunEnded:
    return RunEnded(at=at, turn=turn, attempt=attempt, candidate=2, verdict=Hold(("worse",)))


def lost(attempt: int, *, turn: int = 1, at: datetime = START + HOUR) -> RunLost:
    return RunLost(at=at, turn=turn, attempt=attempt, why="killed")


def seen(
    at: datetime,
    difference: float | None = 0.0,
    *,
    turn: int = 1,
    error: float = 0.01,
    num_rows: int = 500,
    num_scored: int = 1000,
    num_errors: int = 0,
) -> TrialSeen:
    paired = None
    if difference is not None:
        paired = Paired(
            champion=1, num_rows=num_rows, mean_difference=difference, standard_error=error, score_by_metric={}
        )
    return TrialSeen(at=at, turn=turn, paired=paired, num_scored=num_scored, num_errors=num_errors)


def after(*events: Event, loop: Loop = LOOP) -> LoopState:
    state = LoopState(loop)
    for event in events:
        state.handle(event)
    return state


def kinds(commands: list[Command]) -> list[type]:
    return [type(command) for command in commands]


def test_an_ask_starts_a_turn_at_once_when_none_was_before():
    state = after()
    assert state.handle(asked()) == [Submit(turn=1, attempt=1, as_of=START, onset_at=START - 3 * DAY)]
    assert state.phase == "retraining"


def test_a_turn_goes_through_every_step_to_champion_and_keeps_its_times():
    state = after(asked())
    assert state.handle(passed()) == [Route(turn=1, version=2, share=0.1)]
    assert state.handle(seen(START + HOUR + DAY)) == [Route(turn=1, version=2, share=0.5)]
    make, ended = state.handle(seen(START + HOUR + 2 * DAY))
    assert isinstance(make, MakeChampion)
    assert (make.turn, make.version) == (1, 2)
    assert isinstance(ended, Ended)
    record = ended.record
    assert record.outcome == "promoted"
    assert (record.onset_at, record.detected_at, record.started_at) == (START - 3 * DAY, START, START)
    assert (record.retrained_at, record.gated_at, record.canary_at) == (START + HOUR,) * 3
    assert record.full_at == record.ended_at == START + HOUR + 2 * DAY
    assert state.phase == "idle"
    assert state.last_turn == record


def test_a_canary_step_lasts_its_span():
    state = after(asked(), passed())
    assert state.handle(seen(START + HOUR + DAY - timedelta(microseconds=1))) == []
    assert kinds(state.handle(seen(START + HOUR + DAY))) == [Route]
    assert state.handle(seen(START + HOUR + DAY)) == []


def test_the_clock_alone_never_widens_a_canary():
    state = after(asked(), passed())
    assert state.handle(Ticked(at=START + 99 * DAY)) == []
    assert state.phase == "canary"


SHADOWED = Loop(cooldown=14 * DAY, shadow_span=6 * HOUR, canary_shares=(0.1,), canary_span=DAY)


def test_a_shadow_comes_before_the_first_share_of_traffic():
    state = after(asked(), loop=SHADOWED)
    assert state.handle(passed()) == [Route(turn=1, version=2, share=0.0)]
    assert state.phase == "shadow"
    assert state.handle(seen(START + 6 * HOUR)) == []
    assert state.handle(seen(START + 7 * HOUR)) == [Route(turn=1, version=2, share=0.1)]
    assert state.phase == "canary"
    *_, ended = state.handle(seen(START + 31 * HOUR))
    assert (ended.record.shadow_at, ended.record.canary_at) == (START + HOUR, START + 7 * HOUR)
    assert ended.record.outcome == "promoted"


def test_a_shadow_alone_may_be_all_of_the_trial():
    state = after(asked(), passed(), loop=Loop(shadow_span=HOUR, canary_shares=()))
    assert kinds(state.handle(seen(START + 9 * HOUR))) == [MakeChampion, Ended]


BROKEN = {"num_errors": 1, "error": "failed on these rows"}
SLOW = {"model_ms": 200.0, "champion_model_ms": 0.3}


@pytest.mark.parametrize("loop", [LOOP, SHADOWED])
@pytest.mark.parametrize("fault", [BROKEN, SLOW])
def test_a_faulty_candidate_is_withdrawn_at_once_and_never_gets_more(loop, fault):
    state = after(asked(), passed(), loop=loop)
    withdraw, ended = state.handle(replace(seen(START + HOUR), **fault))
    assert isinstance(withdraw, Withdraw)
    assert (withdraw.version, ended.record.outcome, ended.record.full_at) == (2, "rolled_back", None)
    said = {
        "num_errors": "failed on 1 rows: failed on these rows",
        "model_ms": "takes 200.0 ms a batch, the champion 0.3",
    }
    assert said[next(iter(fault))] in ended.record.outcome_reasons[0]


def test_a_candidate_whose_answers_are_of_another_kind_is_withdrawn_without_a_label():
    run = replace(passed(), distance=0.04)
    state = after(asked(), run, loop=SHADOWED)
    _, ended = state.handle(replace(seen(START + 7 * HOUR, None), distance=0.4))
    assert ended.record.outcome == "rolled_back"
    assert "0.400 from the champion's on average; on the hold-out it was 0.040" in ended.record.outcome_reasons[0]


def test_without_canary_steps_a_passed_candidate_is_champion_at_once():
    loop = Loop(canary_shares=())
    assert kinds(after(asked(), loop=loop).handle(passed())) == [MakeChampion, Ended]


def test_a_candidate_that_is_clearly_worse_is_withdrawn():
    state = after(asked(), passed())
    withdraw, ended = state.handle(seen(START + 2 * DAY, 0.05, error=0.01))
    assert isinstance(withdraw, Withdraw)
    assert isinstance(ended, Ended)
    assert (withdraw.version, ended.record.outcome) == (2, "rolled_back")


@pytest.mark.parametrize(("difference", "error"), [(-0.05, 0.01), (0.01, 0.01), (0.0, 0.0), (5.0, float("inf"))])
def test_a_candidate_that_is_not_clearly_worse_goes_on(difference, error):
    assert kinds(after(asked(), passed()).handle(seen(START + 2 * DAY, difference, error=error))) == [Route]


def test_a_bad_first_hour_does_not_end_a_step_before_its_time():
    assert after(asked(), passed()).handle(seen(START + 2 * HOUR, 0.5, error=0.01)) == []


def bad_hours(at: datetime) -> TrialSeen:
    """Losses that are surely worse, whenever one looks."""
    event = seen(at, 0.2)
    assert event.paired is not None
    return replace(event, paired=replace(event.paired, blocks=(0.2,) * 40))


def test_labels_judge_a_trial_at_the_end_of_a_step_or_where_they_are_surely_worse():
    state = after(asked(), passed())
    early, late = START + 2 * HOUR, START + HOUR + DAY
    assert not state.is_judged_by(seen(early))
    assert state.is_judged_by(seen(late))
    assert state.is_judged_by(bad_hours(early))
    assert not state.is_judged_by(seen(late, None))
    assert not state.is_judged_by(seen(late, num_rows=29))


def test_labels_judge_a_probation_only_where_they_would_undo_the_promotion():
    state = after(asked(), passed(), loop=replace(LOOP, shadow_span=DAY, canary_shares=()))
    state.handle(seen(START + HOUR + DAY))
    at = START + 9 * DAY
    assert state.on_probation(at) is not None
    assert not state.is_judged_by(seen(at))
    assert state.is_judged_by(bad_hours(at))
    assert kinds(state.handle(bad_hours(at))) == [Demote]


def test_errors_of_the_candidate_end_a_canary_at_once():
    state = after(asked(), passed())
    assert kinds(state.handle(seen(START + 2 * HOUR, None, num_errors=1))) == [Withdraw, Ended]


@pytest.mark.parametrize("comparison", [seen(START + 2 * DAY, None), seen(START + 2 * DAY, 9.0, num_rows=3)])
def test_without_enough_matured_pairs_a_canary_without_errors_goes_on(comparison):
    assert kinds(after(asked(), passed()).handle(comparison)) == [Route]


def test_a_held_candidate_ends_the_turn_with_its_reasons():
    [ended] = after(asked()).handle(held())
    assert isinstance(ended, Ended)
    assert (ended.record.outcome, ended.record.outcome_reasons) == ("held", ("worse",))


def test_a_lost_run_is_tried_again_on_the_same_rows_three_times_in_all():
    state = after(asked())
    assert state.handle(lost(1)) == [Submit(turn=1, attempt=2, as_of=START, onset_at=START - 3 * DAY)]
    assert state.handle(lost(2)) == [Submit(turn=1, attempt=3, as_of=START, onset_at=START - 3 * DAY)]
    [ended] = state.handle(lost(3))
    assert isinstance(ended, Ended)
    assert ended.record.outcome == "failed"
    assert "killed" in ended.record.outcome_reasons[0]


def test_an_attempt_lost_twice_is_tried_again_once():
    state = after(asked(), lost(1))
    assert state.handle(lost(1)) == []


@pytest.mark.parametrize(
    "stale",
    [
        passed(turn=1, attempt=1),
        held(turn=1, attempt=1),
        passed(turn=0, attempt=2),
        passed(turn=2, attempt=2),
        lost(1),
        lost(2, turn=0),
        seen(START + 9 * DAY, 9.0),
    ],
)
def test_what_comes_from_another_turn_or_attempt_is_ignored(stale):
    state = after(asked(), lost(1))
    before = state.to_json()
    assert state.handle(stale) == []
    assert state.to_json() == before


@pytest.mark.parametrize("stale", [passed(), held(), lost(1), seen(START + 9 * DAY, 9.0, turn=7, num_errors=3)])
def test_in_a_canary_the_run_and_other_turns_have_no_say(stale):
    state = after(asked(), passed())
    before = state.to_json()
    assert state.handle(stale) == []
    assert state.to_json() == before


def test_a_run_that_promotes_no_version_is_a_failure():
    [ended] = after(asked()).handle(passed(candidate=None))
    assert isinstance(ended, Ended)
    assert ended.record.outcome == "failed"


def test_an_ask_during_a_turn_folds_into_it():
    state = after(asked(), asked(START + HOUR, reasons=("decay", "drift"), onset=START - 9 * DAY))
    assert state.turn is not None
    assert state.turn.reasons == ("drift", "decay")
    assert state.turn.onset_at == START - 3 * DAY
    [ended] = state.handle(held())
    assert isinstance(ended, Ended)
    assert ended.record.reasons == ("drift", "decay")
    assert state.handle(Ticked(at=START + 99 * DAY)) == []


def test_after_a_hold_the_next_turn_waits_for_the_cooldown():
    state = after(asked(), held())
    assert state.handle(asked(START + DAY)) == [Deferred(reasons=("drift",), until=START + HOUR + 14 * DAY)]
    assert state.handle(Ticked(at=START + 14 * DAY)) == []
    assert state.handle(Ticked(at=START + HOUR + 14 * DAY)) == [
        Submit(turn=2, attempt=1, as_of=START + HOUR + 14 * DAY, onset_at=START - 2 * DAY)
    ]


def test_asks_that_wait_become_one_turn_with_the_earliest_onset():
    state = after(asked(), held(), asked(START + 2 * DAY))
    assert state.handle(asked(START + 3 * DAY, reasons=("decay",), onset=START - 9 * DAY)) == []
    [submit] = state.handle(Ticked(at=START + 20 * DAY))
    assert isinstance(submit, Submit)
    assert submit.onset_at == START - 9 * DAY
    assert state.turn is not None
    assert (state.turn.reasons, state.turn.detected_at) == (("drift", "decay"), START + 2 * DAY)


def test_an_ask_after_the_cooldown_starts_at_once():
    assert kinds(after(asked(), held()).handle(asked(START + 30 * DAY))) == [Submit]


@pytest.mark.parametrize("end", [held(), passed(candidate=None), Cancelled(at=START + HOUR, by="ana", why="holiday")])
def test_every_end_starts_the_cooldown(end):
    assert kinds(after(asked(), end).handle(asked(START + 2 * HOUR))) == [Deferred]


def test_no_more_turns_than_allowed():
    loop = Loop(cooldown=timedelta(0), max_turns=1)
    state = after(asked(), held(), loop=loop)
    assert kinds(state.handle(asked(START + DAY))) == [Refused]
    assert state.handle(Ticked(at=START + 2 * DAY)) == []
    assert state.num_turns == 1


def test_a_limit_lowered_between_restarts_holds_for_an_ask_that_waits():
    state = after(asked(), held(), asked(START + DAY))
    smaller = LoopState.from_json(state.to_json(), loop=Loop(max_turns=1))
    assert smaller.handle(Ticked(at=START + 99 * DAY)) == []


def test_a_person_ends_a_turn_that_retrains_and_its_job():
    commands = after(asked()).handle(Cancelled(at=START + HOUR, by="ana", why="release freeze"))
    assert kinds(commands) == [Stop, Ended]
    ended = commands[-1]
    assert isinstance(ended, Ended)
    assert ended.record.outcome == "held"
    assert "ana" in ended.record.outcome_reasons[0]


def test_a_person_ends_a_canary_and_its_traffic():
    assert kinds(after(asked(), passed()).handle(Cancelled(at=START + HOUR, by="ana", why="x"))) == [Withdraw, Ended]


def test_a_person_drops_an_ask_that_waits():
    state = after(asked(), held(), asked(START + DAY))
    assert kinds(state.handle(Cancelled(at=START + 20 * DAY, by="ana", why="x"))) == [Refused]
    assert state.handle(Ticked(at=START + 99 * DAY)) == []


def test_commands_are_unfinished_until_they_are_carried_out():
    state = after(asked())
    again = LoopState.from_json(json.loads(json.dumps(state.to_json())), loop=LOOP)
    assert again.unfinished == (Submit(turn=1, attempt=1, as_of=START, onset_at=START - 3 * DAY),)
    again.finish()
    assert again.unfinished == ()
    assert LoopState.from_json(again.to_json(), loop=LOOP).unfinished == ()


def test_every_command_survives_storage():
    events = [
        asked(), lost(1), passed(attempt=2), seen(START + 9 * DAY), seen(START + 19 * DAY, 0.9),
        asked(START + 20 * DAY),
        Cancelled(at=START + 21 * DAY, by="ana", why="x"), asked(START + 90 * DAY),
        Cancelled(at=START + 90 * DAY, by="ana", why="x"), asked(START + 190 * DAY), passed(turn=3),
        seen(START + 198 * DAY, turn=3), seen(START + 199 * DAY, turn=3),
    ]  # fmt: skip
    state = after(*events)
    again = LoopState.from_json(json.loads(json.dumps(state.to_json())), loop=LOOP)
    assert again.unfinished == state.unfinished
    assert set(kinds(list(state.unfinished))) == {Submit, Stop, Route, MakeChampion, Withdraw, Ended, Deferred, Refused}


def any_event(random: np.random.Generator, at: datetime, *, state: LoopState) -> Event:
    """Any event at all; three in four about a turn that runs are about the right turn and attempt."""
    turn, attempt = int(random.integers(0, 6)), int(random.integers(1, 4))
    if state.turn is not None and random.random() < 0.75:
        turn, attempt = state.turn.turn, state.turn.attempt
    kind = int(random.integers(0, 8))
    if kind == 6 and random.random() < 0.1:
        return Cancelled(at=at, by="ana", why="x")
    event: Event = Ticked(at=at)
    match kind:
        case 0 | 1:
            event = asked(at, reasons=(str(random.choice(["drift", "decay", "age"])),))
        case 2:
            event = passed(at, turn=turn, attempt=attempt, candidate=int(random.integers(2, 9)))
        case 3:
            event = held(at, turn=turn, attempt=attempt)
        case 4:
            event = lost(attempt, turn=turn, at=at)
        case 5:
            difference = float(random.choice([-0.05, 0.05]))
            event = seen(at, difference, turn=turn, num_errors=int(random.random() < 0.1))
    return event


def any_story(seed: int, *, loop: Loop) -> list[Event]:
    random, at, events, state = np.random.default_rng(seed), START, [], LoopState(loop)
    for _ in range(150):
        at += timedelta(hours=float(random.integers(0, 40)))
        events.append(any_event(random, at, state=state))
        state.handle(events[-1])
    return events


@pytest.mark.parametrize("seed", range(20))
def test_under_any_order_of_events_the_loop_keeps_its_promises(seed):
    loop = Loop(cooldown=3 * DAY, shadow_span=(seed % 2) * DAY, canary_shares=(0.1, 0.5), canary_span=DAY, max_turns=5)
    state = LoopState(loop)
    commands = [(event, command) for event in any_story(seed, loop=loop) for command in state.handle(event)]
    open_turn, routed, ended_at = 0, False, None
    for event, command in commands:
        match command:
            case Submit():
                assert command.attempt <= 3
                if command.turn != open_turn:
                    assert open_turn == 0, "one turn at a time"
                    assert ended_at is None or event.at >= ended_at + loop.cooldown
                    open_turn = command.turn
            case Route():
                assert command.turn == open_turn
                routed = True
            case MakeChampion():
                assert command.turn == open_turn
                assert routed, "no champion without a canary"
            case Withdraw():
                assert routed
            case Ended():
                assert command.record.turn == open_turn
                open_turn, routed, ended_at = 0, False, command.record.ended_at
            case _:
                pass
    ended = [command.record for _, command in commands if isinstance(command, Ended)]
    champions = [command for _, command in commands if isinstance(command, MakeChampion)]
    assert len(champions) == sum(record.outcome == "promoted" for record in ended)
    assert [record.turn for record in ended] == list(range(1, len(ended) + 1))
    assert state.num_turns <= 5


@pytest.mark.parametrize("seed", range(20))
def test_a_restart_after_any_event_changes_no_command(seed):
    loop = Loop(cooldown=3 * DAY, shadow_span=HOUR, canary_shares=(0.1, 0.5), canary_span=DAY)
    steady, state = LoopState(loop), LoopState(loop)
    for event in any_story(seed, loop=loop):
        state = LoopState.from_json(json.loads(json.dumps(state.to_json())), loop=loop)
        assert state.handle(event) == steady.handle(event)
        assert state.to_json() == steady.to_json()
        if len(state.unfinished) > 3:
            state.finish()
            steady.finish()


def test_the_random_stories_reach_every_outcome():
    loop = Loop(cooldown=3 * DAY, canary_shares=(0.1,), canary_span=DAY)
    outcomes = set()
    for seed in range(20):
        state = LoopState(loop)
        for event in any_story(seed, loop=loop):
            outcomes |= {command.record.outcome for command in state.handle(event) if isinstance(command, Ended)}
    assert outcomes == {"promoted", "held", "rolled_back", "failed"}


def test_a_candidate_that_answers_nothing_is_not_promoted_for_it():
    state = after(asked(), passed())
    for day in range(1, 7):
        assert state.handle(seen(START + day * DAY, None, num_scored=0)) == []
    *_, ended = state.handle(seen(START + 30 * DAY, None, num_scored=0))
    assert ended.record.outcome == "rolled_back"
    assert "scored 0 live rows" in ended.record.outcome_reasons[0]


WORSE = tuple(np.random.default_rng(2).normal(0.1, 0.05, 40).tolist())


def trial_seen(at: datetime, blocks: tuple[float, ...], *, turn: int = 1) -> TrialSeen:
    event = seen(at, float(np.mean(blocks)), turn=turn)
    assert event.paired is not None
    return replace(event, paired=replace(event.paired, blocks=blocks))


def test_losses_that_are_surely_worse_end_a_step_before_its_time():
    withdraw, ended = after(asked(), passed()).handle(trial_seen(START + 2 * HOUR, WORSE))
    assert isinstance(withdraw, Withdraw)
    assert "worse by evidence e^" in ended.record.outcome_reasons[0]


def promoted(**given) -> LoopState:
    loop = replace(LOOP, canary_shares=(0.5,), **given)
    state = after(asked(), passed(), seen(START + 2 * DAY), loop=loop)
    assert state.last_turn.outcome == "promoted"
    return state


def test_late_labels_that_contradict_a_trial_undo_its_promotion_once():
    state = promoted()
    [demote] = state.handle(trial_seen(START + 9 * DAY, WORSE))
    assert isinstance(demote, Demote)
    assert (demote.turn, demote.version) == (1, 2)
    assert state.last_turn.outcome == "rolled_back"
    assert state.handle(trial_seen(START + 10 * DAY, WORSE)) == []
    again = LoopState.from_json(json.loads(json.dumps(state.to_json())), loop=LOOP)
    assert again.unfinished[-1] == demote


def test_late_labels_that_agree_undo_nothing():
    assert promoted().handle(trial_seen(START + 9 * DAY, tuple(-one for one in WORSE))) == []


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (promoted(), trial_seen(START + 40 * DAY, WORSE)),
        (promoted(), trial_seen(START + 9 * DAY, WORSE, turn=7)),
        (after(asked(), passed(), loop=Loop(canary_shares=())), trial_seen(START + 9 * DAY, WORSE)),
        (after(asked(), held()), trial_seen(START + 9 * DAY, WORSE)),
    ],
    ids=["after probation", "another turn", "without a trial", "held"],
)
def test_nothing_else_is_undone(state, event):
    assert state.handle(event) == []


def test_while_the_next_turn_runs_nothing_is_undone():
    state = promoted()
    state.handle(asked(START + 30 * DAY))
    assert state.on_probation(START + 30 * DAY) is None
    assert state.handle(trial_seen(START + 30 * DAY, WORSE)) == []
