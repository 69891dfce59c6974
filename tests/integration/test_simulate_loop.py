from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest

from heliostat.columns import Number
from heliostat.declared.economics import Economics
from heliostat.gates import Promote
from heliostat.simulate.comparison import compare
from heliostat.simulate.loop import Loop
from heliostat.simulate.outcome import verdict
from heliostat.simulate.play import Never, Scheduled, play
from heliostat.simulate.policy import Policy
from heliostat.simulate.stream import Stream, stream
from heliostat.simulate.turns import Trainer
from heliostat.watch.reference import loss_reference

NUM_ROWS = 6000
COLUMNS = (Number("a", low=-np.inf, high=np.inf), Number("b", low=-np.inf, high=np.inf))


@dataclass(frozen=True)
class Quadrants:
    """Remembers the share of ones in each of four quadrants."""

    rates: np.ndarray

    def answers(self, rows: pa.Table) -> np.ndarray:
        return self.rates[_quadrant(rows)]


@dataclass(frozen=True)
class Begun:
    """A fit that is whole already, and says when it is finished."""

    learner: "Counting"
    model: Quadrants

    def answers(self, rows: pa.Table) -> np.ndarray:
        return self.model.answers(rows)

    def finished(self) -> Quadrants:
        self.learner.num_finished += 1
        return self.model


class Counting:
    """A learner quick enough for tests: it sees which quadrant a row lies in, and keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []
        self.num_finished = 0

    def fit(self, rows: pa.Table, labels: np.ndarray) -> Quadrants:
        self.shown.append(labels)
        place = _quadrant(rows)
        ones = np.bincount(place, weights=labels, minlength=4) + 1
        return Quadrants(ones / (np.bincount(place, minlength=4) + 2))

    def begin(self, rows: pa.Table, labels: np.ndarray) -> "Begun":
        return Begun(self, self.fit(rows, labels))


def _quadrant(rows: pa.Table) -> np.ndarray:
    a, b = (rows[name].to_numpy() > 0 for name in ("a", "b"))
    return a.astype(int) * 2 + b


def _stream(*, change: float | None, seed: int = 0, delay: int = 0) -> Stream:
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=NUM_ROWS), generator.normal(size=NUM_ROWS)
    is_late = np.arange(NUM_ROWS) >= NUM_ROWS * (2 if change is None else change)
    labels = np.where(is_late, (a > 0) ^ (b > 0), a > 0) ^ (generator.random(NUM_ROWS) < 0.15)
    event_at = np.arange(NUM_ROWS, dtype=float)
    return stream(
        pa.table({"a": a, "b": b}),
        COLUMNS,
        labels.astype(float),
        first=0.2,
        event_at=event_at,
        label_at=event_at + delay,
    )


def _compare(played: Stream):
    return compare(played, Counting(), clock=lambda: 0.0, tell=lambda text: None)


def _loop_answers(played: Stream):
    policy = Policy.of(played)
    trainer = Trainer(played, Counting(), policy)
    first = trainer.fit_unjudged(played.first_step, number=1)
    return play(played, first, Loop(played, trainer, policy), clock=lambda: 0.0, tell=lambda text: None)


def test_after_an_abrupt_change_the_loop_is_ahead_of_never_and_of_even_distances():
    found = _compare(_stream(change=0.5))
    assert found.loop_less_never["loss"].high < 0
    assert found.loop_less_never["score"].low > 0
    assert found.loop_less_even["loss"].mean < 0
    assert verdict(found)[0].startswith("Yes")


def test_the_change_is_an_alarm_and_its_onset_is_near_the_truth():
    account = _loop_answers(_stream(change=0.5)).account
    assert [abs(alarm.onset_row - NUM_ROWS // 2) < 300 for alarm in account.alarms[:1]] == [True]
    assert account.alarms[0].row < NUM_ROWS * 0.6


def test_without_a_change_the_loop_does_no_harm():
    streams = [_stream(change=None, seed=seed) for seed in range(20, 25)]
    found = [_compare(played) for played in streams]
    losses = [one.loop_less_never["loss"] for one in found]
    assert sum(loss.low > 0 for loss in losses) <= 1  # a 95% interval may err once
    assert np.mean([loss.mean for loss in losses]) < 0.001
    assert not any(verdict(one)[0].startswith("Yes") for one in found)


def test_without_a_change_alarms_are_rare():
    accounts = [_loop_answers(_stream(change=None, seed=seed)).account for seed in range(100, 112)]
    assert sum(len(account.alarms) > 0 for account in accounts) <= 1
    assert max(account.num_turns for account in accounts) <= 6


def test_a_first_model_worse_than_the_constant_rate_is_measured_against_the_constant():
    played = _stream(change=0.15)
    trainer = Trainer(played, Counting(), Policy.of(played))
    champion = trainer.referred(trainer.fit_unjudged(played.first_step, number=1), played.first_step)
    assert champion.reference is not None
    assert champion.reference.score < 0.75
    assert champion.score_reference is not None
    assert champion.score_reference.score == pytest.approx(0.5, abs=0.1)


def test_the_same_table_gives_the_same_turns_and_answers():
    one, other = _loop_answers(_stream(change=0.4)), _loop_answers(_stream(change=0.4))
    assert one.answers.tobytes() == other.answers.tobytes()
    assert one.account == other.account


def test_no_future_label_changes_an_answer():
    played = _stream(change=0.5)
    since = played.rows_at(80)
    turned = Stream(**{**played.__dict__, "labels": np.where(np.arange(NUM_ROWS) >= since, np.nan, played.labels)})
    planted = Stream(
        **{**played.__dict__, "labels": np.where(np.arange(NUM_ROWS) >= since, 1 - played.labels, played.labels)}
    )
    asked = since - played.first_rows + played.step_rows  # the step after it is answered before anything is learned
    truth = _loop_answers(played).answers[:asked]
    assert truth.tobytes() == _loop_answers(planted).answers[:asked].tobytes()
    assert truth.tobytes() == _loop_answers(turned).answers[:asked].tobytes()
    assert _loop_answers(planted).answers[asked:].tobytes() != _loop_answers(played).answers[asked:].tobytes()


def test_late_labels_make_the_loop_see_a_change_later():
    at_once = _loop_answers(_stream(change=0.5)).account.alarms
    late = _loop_answers(_stream(change=0.5, delay=600)).account.alarms
    assert late[0].row >= at_once[0].row + 500


def test_a_schedule_learns_only_from_rows_that_are_due():
    played = _stream(change=None, delay=600)
    trainer = Trainer(played, Counting(), Policy.of(played))
    first = trainer.fit_unjudged(played.first_step, number=1)
    scheduled = Scheduled(played, trainer, share=0.1, is_recent=False)
    account = play(played, first, scheduled, clock=lambda: 0.0, tell=lambda text: None).account
    last_turn = account.turns[-1].row
    assert account.num_turns == 7
    assert account.num_labels <= last_turn - 600


def test_never_costs_nothing_and_uses_the_first_labels_only():
    played = _stream(change=None)
    first = Trainer(played, Counting(), Policy.of(played)).fit_unjudged(played.first_step, number=1)
    account = play(played, first, Never(), clock=lambda: 0.0, tell=lambda text: None).account
    assert (account.num_fits, account.num_turns, account.num_labels) == (0, 0, played.first_rows)


def test_a_candidate_is_judged_only_on_rows_that_no_fit_has_seen():
    played, learner = _stream(change=0.5), Counting()
    trainer = Trainer(played, learner, Policy.of(played))
    first = trainer.fit_unjudged(played.first_step, number=1)
    found = trainer.turn(40, first)
    usable = len(played.usable(40))
    assert found.champion is not None
    assert found.champion.reference is not None
    judged, _recent, refitted = learner.shown[-3:]
    assert len(judged) + found.champion.reference.num_rows == usable
    assert len(refitted) == usable


def test_a_winner_is_fitted_again_on_the_newest_rows_however_few_they_are():
    played, learner = _stream(change=None), Counting()
    trainer = Trainer(played, learner, Policy.of(played))
    found = trainer.turn(100, trainer.fit_unjudged(played.first_step, number=1))
    assert found.champion is not None
    assert (found.champion.until_row, found.champion.num_rows) == (5000, 5000)
    assert found.champion.reference.num_rows < 0.1 * len(learner.shown[-1])


def test_all_history_is_tried_though_recent_rows_surely_beat_the_champion():
    played, learner = _stream(change=0.5), Counting()
    trainer = Trainer(played, learner, Policy.of(played))
    found = trainer.turn(70, trainer.fit_unjudged(played.first_step, number=1))
    assert found.sure_gain > 0
    assert found.num_fits == 3  # recent rows, all history, and the winner on all rows


def test_recent_rows_are_tried_where_no_change_is_known_alone():
    played = _stream(change=None)
    for change_row, is_tried in ((None, True), (NUM_ROWS // 2, False)):
        learner = Counting()
        trainer = Trainer(played, learner, Policy.of(played))
        trainer.turn(100, trainer.fit_unjudged(played.first_step, number=1), change_row=change_row)
        assert (any(len(labels) == played.first_rows for labels in learner.shown[1:])) == is_tried


def test_with_fewer_rows_left_than_judge_anybody_nothing_is_fitted_any_more():
    played = _stream(change=None)
    policy = replace(Policy.of(played), age_share=0.01, cooldown_share=0.005)
    trainer = Trainer(played, Counting(), policy)
    first = trainer.fit_unjudged(played.first_step, number=1)
    account = play(played, first, Loop(played, trainer, policy), clock=lambda: 0.0, tell=lambda text: None).account
    assert NUM_ROWS - 6 * played.step_rows < account.turns[-1].row <= NUM_ROWS - policy.min_holdout_rows


def test_a_champion_is_not_judged_on_rows_that_it_was_fitted_to():
    played = _stream(change=None)
    trainer = Trainer(played, Counting(), Policy.of(played))
    champion = trainer.fit_unjudged(60, number=1)
    found = trainer.turn(60, champion)
    assert found.champion is None
    assert "0 new rows" in found.verdict.reasons[0]


def test_what_reaches_before_a_change_is_not_fitted_where_the_rows_since_it_surely_win():
    played, learner = _stream(change=0.5), Counting()
    trainer = Trainer(played, learner, Policy.of(played))
    first = trainer.fit_unjudged(played.first_step, number=1)
    found = trainer.turn(80, first, change_row=NUM_ROWS // 2)
    assert found.champion is not None
    assert found.champion.name == "since the change"
    assert found.num_fits == 2
    assert found.sure_gain > 0.1


def test_of_several_candidates_only_the_one_that_leads_is_finished():
    played, learner = _stream(change=None), Counting()
    trainer = Trainer(played, learner, Policy.of(played))
    found = trainer.turn(100, trainer.fit_unjudged(played.first_step, number=1))
    assert found.num_fits >= 2
    assert learner.num_finished == 1


def test_a_single_candidate_is_fitted_at_once():
    played, learner = _stream(change=None), Counting()
    trainer = Trainer(played, learner, Policy.of(played))
    found = trainer.turn(30, trainer.fit_unjudged(played.first_step, number=1))
    assert found.num_fits >= 1
    assert learner.num_finished == 0


def test_a_new_champion_answers_from_the_next_step_on_though_steps_are_answered_ahead():
    played = _stream(change=0.5)
    found = _loop_answers(played)
    row = next(turn.row for turn in found.account.turns if turn.outcome.startswith("promoted"))
    policy = Policy.of(played)
    trainer = Trainer(played, Counting(), policy)
    first = trainer.fit_unjudged(played.first_step, number=1)
    theirs = first.model.answers(played.slice(played.first_rows, NUM_ROWS))
    is_same = found.answers == theirs
    assert is_same[: row - played.first_rows].all()
    assert not is_same[row - played.first_rows : row - played.first_rows + played.step_rows].any()


def test_recent_rows_win_after_a_change_that_nobody_saw():
    played, learner = _stream(change=0.5), Counting()
    trainer = Trainer(played, learner, Policy.of(played))
    first = trainer.fit_unjudged(played.first_step, number=1)
    found = trainer.turn(70, first)
    assert found.champion is not None
    assert found.champion.name == "recent rows"
    assert isinstance(found.verdict, Promote)


def test_an_archived_champion_returns_without_a_fit_when_its_world_does():
    played = _stream(change=0.5)
    trainer = Trainer(played, Counting(), Policy.of(played))
    stale = trainer.fit_unjudged(played.first_step, number=1)
    able = trainer.turn(100, stale, change_row=NUM_ROWS // 2).champion
    assert able is not None
    found = trainer.turn(110, replace(stale, number=3), change_row=NUM_ROWS // 2, archive=[able])
    assert found.num_fits == 0
    assert found.champion is not None
    assert found.champion.model is able.model
    assert found.champion.number == 4


def test_an_archived_champion_that_is_no_better_does_not_return():
    played = _stream(change=0.5)
    trainer = Trainer(played, Counting(), Policy.of(played))
    stale = trainer.fit_unjudged(played.first_step, number=1)
    assert trainer.turn(100, replace(stale, number=2), change_row=NUM_ROWS // 2, archive=[stale]).num_fits > 0


def test_an_archived_champion_worse_than_the_constant_does_not_return_to_a_worse_one():
    played = _stream(change=None)
    trainer = Trainer(played, Counting(), Policy.of(played))
    able = trainer.fit_unjudged(played.first_step, number=1)
    bad = replace(able, number=2, model=Quadrants(np.array([0.7, 0.7, 0.3, 0.3])))
    worse = replace(able, number=3, model=Quadrants(np.array([0.95, 0.95, 0.05, 0.05])))
    rows = played.usable(100)[-300:]
    answers = bad.model.answers(played.take(rows))
    known = loss_reference(played.labels[rows], answers, blocks=np.arange(300) // 15, task=played.task)
    assert known.score > 0.8
    assert trainer.turn(100, worse, archive=[replace(bad, reference=known)]).num_fits > 0


def test_no_turn_comes_while_known_labels_are_one_sided_and_the_ask_is_heard_afterwards():
    played = _stream(change=None)
    rows = np.arange(NUM_ROWS)
    is_late = played.labels == 1  # ones are told ten steps later
    late = replace(
        played,
        known_step=np.where(is_late, played.known_step + 10, played.known_step),
        is_due_known=np.arange(played.num_steps + 1) >= 70,
    )
    account = _loop_answers(late).account
    assert played.rows_at(70) <= account.turns[0].row <= played.rows_at(75)
    assert "how long they take is not known yet" in account.declined[0].outcome
    assert account.declined[0].row < account.turns[0].row
    at_once = _loop_answers(replace(late, known_step=late.steps_of(rows))).account
    assert at_once.declined == []
    assert at_once.turns[0].row < account.turns[0].row


def _with_economics(**costs: float):
    seconds = iter(range(100_000))
    played = _stream(change=0.5)
    return compare(
        played,
        Counting(),
        clock=lambda: float(next(seconds)),
        tell=lambda text: None,
        economics=Economics(**costs),
    ).accounts["loop"]


def test_a_turn_that_is_not_worth_its_run_is_declined_and_one_that_is_starts():
    dear = _with_economics(value_per_loss=1e-6, cost_per_cpu_hour=3600.0)
    cheap = _with_economics(value_per_loss=1.0, cost_per_cpu_hour=1e-6)
    assert dear.num_turns == 1  # before the first run nobody knows what one costs
    assert "a run costs 1" in dear.declined[0].outcome
    assert cheap.num_turns > 2
    assert cheap.declined == []


def test_accounts_add_up():
    found = _compare(_stream(change=0.5))
    loop, even = found.accounts["loop"], found.accounts["even"]
    assert even.num_turns == loop.num_turns == len(loop.turns)
    assert loop.num_promotions <= loop.num_turns <= loop.num_fits
    assert found.accounts["schedule_5%"].num_turns == 15


@pytest.mark.parametrize(("change_row", "part"), [(None, 2), (NUM_ROWS // 2, 1)])
def test_with_a_split_the_winner_of_several_is_judged_by_rows_that_did_not_choose_it(change_row, part):
    played = _stream(change=0.5)
    policy = Policy.of(played)
    first = Trainer(played, Counting(), policy).fit_unjudged(played.first_step, number=1)
    whole, half = (
        Trainer(played, Counting(), replace(policy, holdout_split=split)).turn(100, first, change_row=change_row)
        for split in (None, 0.5)
    )
    assert whole.champion is not None
    assert half.champion is not None
    # Since the known change one window surely wins, so nobody was chosen from several.
    assert half.champion.reference.num_rows == whole.champion.reference.num_rows // part
