"""Whether a turn is worth its run."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from heliostat import Economics, Loop
from heliostat.errors import WorkloadError
from heliostat.gates import Hold, Promote
from heliostat.govern.commands import Declined, Submit, TurnRecord
from heliostat.govern.economics import worth
from heliostat.govern.events import Asked, Matured, RunEnded, Ticked
from heliostat.govern.turn import LoopState

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PRICES = Economics(value_per_loss=0.01, cost_per_cpu_hour=1.0, horizon=10 * DAY)


def turn(number=1, *, gain=0.02, gap=None, cpu_s=3600.0, outcome="promoted", at=START):
    return TurnRecord(
        turn=number,
        reasons=("decay",),
        onset_at=at,
        detected_at=at,
        started_at=at,
        ended_at=at,
        outcome=outcome,
        gain=gain,
        gap=gap,
        cpu_s=cpu_s,
    )


def judged(turns, *, gap=None, rows_per_day=1000.0, prices=PRICES, at=START + DAY):
    return worth(prices, turns, gap=gap, rows_per_day=rows_per_day, at=at)


def test_what_nobody_can_know_yet_stops_no_turn():
    assert judged([]).may_start
    assert judged([turn()], rows_per_day=None).may_start


def test_gain_times_traffic_times_value_is_held_against_the_run():
    found = judged([turn(gain=0.02)])
    assert (found.worth, found.cost) == (pytest.approx(0.02 * 1000 * 10 * 0.01), 1.0)
    assert found.may_start
    poor = judged([turn(gain=0.02)], rows_per_day=400.0)
    assert not poor.may_start
    assert poor.reason == "0.02 less loss a row is worth 0.8 in 10 days, a run costs 1"


def test_a_run_that_broke_says_nothing_of_what_a_turn_gains():
    broken = turn(2, gain=None, gap=0.04, outcome="failed")
    assert judged([turn(), broken], gap=0.08).expected_gain == 0.08
    assert judged([turn(gain=0.01, gap=0.04), broken], gap=0.08).expected_gain == pytest.approx(0.02)


def test_of_a_gap_as_much_is_expected_as_turns_closed_before():
    assert judged([turn(gain=0.01, gap=0.04)], gap=0.08).expected_gain == pytest.approx(0.02)
    assert judged([turn()], gap=0.08).expected_gain == 0.08  # no gap was ever closed: all of it may be
    assert judged([turn(gain=0.9, gap=0.04)], gap=0.08).expected_gain == 0.08  # never more than the gap


def test_turns_in_vain_gained_nothing_and_are_remembered():
    turns = [turn(gain=0.02), turn(gain=0.5, outcome="held"), turn(gain=0.3, outcome="rolled_back")]
    assert judged(turns).expected_gain == pytest.approx(0.02 / 3)


def test_only_the_last_turns_count():
    turns = [turn(gain=9.0, cpu_s=1e9)] * 3 + [turn(gain=0.02)] * 5
    assert judged(turns).expected_gain == pytest.approx(0.02)
    assert judged(turns).cost == 1.0


def test_the_budget_of_a_period_is_never_exceeded():
    prices = replace(PRICES, budget=2.5, budget_span=30 * DAY)
    turns = [turn(at=START), turn(at=START + 10 * DAY)]
    spent = judged(turns, prices=prices, at=START + 12 * DAY)
    assert not spent.may_start
    assert spent.reason == "2 of 2.5 were spent in 30 days, and a run costs 1"
    assert judged(turns, prices=prices, at=START + 31 * DAY).may_start


def test_runs_that_were_lost_are_paid_for_too():
    prices = replace(PRICES, budget=3.5, budget_span=30 * DAY)
    lost = replace(turn(2, cpu_s=None, gain=None, outcome="failed", at=START + DAY), attempt=3)
    found = judged([turn(), lost], prices=prices, at=START + 2 * DAY)
    assert (found.spent, found.may_start) == (4.0, False)
    assert judged([lost], prices=prices, at=START + 2 * DAY).may_start  # what a run costs is not known yet


@pytest.mark.parametrize(
    "wrong",
    [
        {"value_per_loss": 0},
        {"value_per_loss": math.nan},
        {"cost_per_cpu_hour": -1},
        {"cost_per_cpu_hour": math.nan},
        {"budget": 0},
        {"budget": math.nan},
        {"horizon": timedelta(0)},
    ],
)
def test_prices_that_mean_nothing_are_refused(wrong):
    with pytest.raises(WorkloadError):
        replace(PRICES, **wrong)


LOOP = Loop(cooldown=DAY, canary_shares=(), economics=replace(PRICES, value_per_loss=1e-6))


def asked(at, *, gap=None):
    return Asked(at=at, reasons=("decay",), triggers=("decay",), onset_at=at, detected_at=at, gap=gap)


def once(loop=LOOP):
    state = LoopState(loop)
    state.handle(Matured(at=START, num_since_change=0, rows_per_day=1000.0))
    state.handle(asked(START, gap=0.1))
    verdict = Hold(("worse",))
    state.handle(RunEnded(at=START, turn=1, attempt=1, candidate=2, verdict=verdict, gain=0.0, cpu_s=3600.0))
    return state


def test_a_turn_that_is_not_worth_its_run_waits_and_is_said_once_with_its_figures():
    state = once()
    [declined] = state.handle(asked(START + 9 * DAY, gap=0.1))
    assert isinstance(declined, Declined)
    assert (declined.cost, declined.expected_gain) == (1.0, 0.0)
    assert state.declined == declined.why
    assert state.handle(Ticked(at=START + 9.2 * DAY)) == []
    again = LoopState.from_json(json.loads(json.dumps(state.to_json())), loop=LOOP)
    assert again.unfinished == state.unfinished
    assert again.handle(Ticked(at=START + 9.5 * DAY)) == []
    assert again.declined == declined.why


def test_a_turn_that_waited_starts_when_it_has_become_worth_it():
    state = once()
    state.handle(asked(START + 9 * DAY, gap=0.1))
    dearer = LoopState.from_json(state.to_json(), loop=replace(LOOP, economics=None))
    assert [type(one) for one in dearer.handle(Ticked(at=START + 10 * DAY))] == [Submit]
    assert dearer.declined is None


def test_without_prices_no_turn_is_declined():
    state = once(replace(LOOP, economics=None))
    assert [type(one) for one in state.handle(asked(START + 9 * DAY))] == [Submit]


DEAR = replace(LOOP, economics=PRICES)


@pytest.mark.parametrize("gap", [None, 0.3])
def test_after_a_first_turn_in_vain_an_ask_waits_for_a_horizon_and_then_one_turn_finds_out_again(gap):
    state = once(DEAR)
    [declined] = state.handle(asked(START + 2 * DAY, gap=gap))
    assert (type(declined), declined.expected_gain) == (Declined, 0.0)
    assert state.handle(Ticked(at=START + 9 * DAY)) == []
    assert [type(one) for one in state.handle(Ticked(at=START + 10 * DAY))] == [Submit]
    assert state.declined is None


def test_small_gains_are_not_forgotten_as_turns_in_vain_are():
    turns = [turn(1, gain=0.001), turn(2, gain=0.5, outcome="held", at=START + DAY)]
    assert judged(turns, at=START + 2 * DAY).expected_gain == pytest.approx(0.0005)
    later = judged(turns, at=START + 40 * DAY)
    assert (later.expected_gain, later.may_start) == (pytest.approx(0.001), False)


def broke(number=2, *, cpu_s=360.0, at=START):
    return replace(turn(number, gain=None, cpu_s=cpu_s, outcome="failed", at=at), num_fits=0)


def test_a_run_whose_fits_broke_is_paid_for_and_does_not_make_the_next_one_look_cheap():
    prices = replace(PRICES, budget=2.15, budget_span=30 * DAY)
    found = judged([turn(), broke()], prices=prices, at=START + 2 * DAY)
    assert (found.spent, found.cost, found.may_start) == (pytest.approx(1.1), 1.0, True)
    twice = judged([turn(), broke(), broke(3)], prices=prices, at=START + 2 * DAY)
    assert (twice.spent, twice.may_start) == (pytest.approx(1.2), False)
    assert found.expected_gain == pytest.approx(0.02)  # it says nothing of what a turn gains


def test_runs_that_only_ever_broke_end_with_the_budget():
    prices = replace(PRICES, budget=0.25, budget_span=30 * DAY)
    assert judged([broke(1), broke(2)], prices=prices).may_start
    over = judged([broke(1), broke(2), broke(3)], prices=prices)
    assert not over.may_start
    assert over.reason == "0.3 of 0.25 were spent in 30 days, and what a run costs is not known"


@pytest.mark.parametrize("outcome", ["held", "failed"])
def test_each_turn_that_changed_nothing_doubles_the_rest(outcome):
    state, at, rests = LoopState(Loop(cooldown=DAY, canary_shares=())), START, []
    for number in (1, 2, 3):
        state.handle(asked(at))
        is_failed = outcome == "failed"
        verdict = Hold(("encode failed with KeyError",))
        state.handle(RunEnded(at=at, turn=number, attempt=1, candidate=None, verdict=verdict, is_failed=is_failed))
        assert state.last_turn.outcome == outcome
        rests.append((state.last_turn.rests_until - at) / DAY)
        at += 20 * DAY
    assert rests == [2, 4, 8]


def test_the_end_of_a_turn_says_what_was_lost_from_its_onset_on():
    state = LoopState(Loop(canary_shares=()))
    state.handle(Matured(at=START, num_since_change=0, rows_per_day=1000.0))
    state.handle(Asked(at=START, reasons=("decay",), triggers=("decay",), onset_at=START, detected_at=START, gap=0.1))
    state.handle(RunEnded(at=START + 2 * DAY, turn=1, attempt=1, candidate=2, verdict=Promote(("better",))))
    assert state.last_turn.quality_lost == pytest.approx(0.1 * 1000 * 2)
