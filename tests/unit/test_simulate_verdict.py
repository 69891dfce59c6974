"""The answer of a simulation: yes, hardly or no, by what is sure, and how the loop stands against calendars."""

import pytest

from heliostat.simulate.outcome import Interval, Outcome, Scores, verdict
from heliostat.simulate.play import Account
from heliostat.tasks import BINARY

LEVEL = Interval(mean=0.0, low=-0.01, high=0.01)


def interval(mean, width=0.001):
    return Interval(mean=mean, low=mean - width, high=mean + width)


def found(*, loss=LEVEL, score=LEVEL, best_gain=0.05, against_even=LEVEL, against_best=LEVEL, num_turns=3, cpu_s=1.0):
    def scores(value):
        level = interval(value)
        return Scores(score=level, loss=level, auc=None, decile_score=(), decile_loss=())

    calendar = "schedule_5%"
    return Outcome(
        num_rows=1000,
        num_scored=800,
        task=BINARY,
        label_mean=0.5,
        constant_loss=0.69,
        scores={"never": scores(0.7), calendar: scores(0.7 + best_gain), "loop": scores(0.7 + score.mean)},
        accounts={"loop": Account(num_turns=num_turns, cpu_s=cpu_s), calendar: Account(num_turns=16, cpu_s=4.0)},
        best_schedule=calendar,
        loop_less_never={"loss": loss, "score": score},
        loop_less_even={"loss": against_even, "score": LEVEL},
        loop_less_best={"loss": against_best, "score": LEVEL},
    )


@pytest.mark.parametrize(
    ("differences", "answer"),
    [
        ({"loss": interval(-0.05), "score": interval(0.03)}, "Yes: learning again by the loop pays here"),
        ({"loss": interval(-0.05)}, "Yes: "),
        ({"score": interval(0.03)}, "Yes: "),
        ({"loss": interval(-0.002), "score": interval(0.002)}, "Hardly: the loop's gain is real but too small"),
        ({"loss": interval(0.05)}, "No: the loop made the answers worse here"),
        ({"loss": interval(-0.05), "score": interval(-0.03)}, "No: the loop made the answers worse here"),
        ({"loss": interval(0.0003, 0.0001)}, "No: the loop's gain cannot be told from chance"),
        ({}, "No: the loop's gain cannot be told from chance here"),
        ({"best_gain": 0.002}, "No: learning again pays nobody here; the best schedule gains +0.2 points"),
        ({"best_gain": -0.01}, "No: learning again pays nobody here"),
    ],
    ids=str,
)
def test_the_answer_follows_from_what_is_sure(differences, answer):
    assert verdict(found(**differences))[0].startswith(answer)


def test_what_is_large_but_not_sure_makes_nothing_that_is_sure_worth_more():
    unsure = Interval(mean=-0.05, low=-0.12, high=0.02)
    assert verdict(found(loss=unsure, score=interval(0.0008, 0.0005)))[0].startswith("Hardly: ")
    large = Interval(mean=0.05, low=-0.02, high=0.12)
    assert verdict(found(loss=interval(-0.0008, 0.0005), score=large))[0].startswith("Hardly: ")


@pytest.mark.parametrize(
    ("against", "said"),
    [
        (interval(-0.01), "When to turn mattered: as many turns at even distances do worse"),
        (interval(0.01), "The watching did not help: as many turns at even distances do better"),
        (LEVEL, "The watching made no sure difference"),
    ],
    ids=["ahead", "behind", "level"],
)
def test_the_watching_is_held_against_even_distances(against, said):
    assert verdict(found(against_even=against))[1].startswith(said)
    assert not any(sentence.startswith(said) for sentence in verdict(found(against_even=against, num_turns=0)))


def test_a_calendar_that_answers_better_and_costs_less_is_named_as_what_to_take():
    worse = interval(0.01)
    assert verdict(found(against_best=worse, cpu_s=9.0))[-1].endswith("answers better and costs less: take it.")
    assert verdict(found(against_best=worse))[-1].endswith("That schedule answers better.")
    assert "3 turns and 1.0 CPU-seconds against 16 and 4.0 of schedule_5%" in verdict(found())[-1]
    assert verdict(found(best_gain=0.0))[-1].startswith("It took ")
