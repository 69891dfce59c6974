"""Which labels contradict answers that were sure, by the kind of label."""

import numpy as np

from heliostat import Binary, Classes, Quantity
from heliostat.tasks import task_of


def told(found):
    return found.is_sure.tolist(), (found.is_sure & found.is_contradicted).tolist()


def test_a_probability_is_sure_near_its_ends():
    found = task_of(Binary("y")).doubts(np.array([1.0, 0.0, 1.0, 0.0, 1.0]), np.array([0.05, 0.05, 0.95, 0.95, 0.5]))
    assert told(found) == ([True, True, True, True, False], [True, False, False, True, False])
    assert found.expected.round(6).tolist() == [0.05, 0.05, 0.05, 0.05, 0.5]


def test_a_class_is_sure_when_all_others_together_are_unlikely():
    answers = np.array([[0.95, 0.03, 0.02], [0.95, 0.03, 0.02], [0.6, 0.2, 0.2], [0.89, 0.11, 0.0]])
    found = task_of(Classes("y", values=("u", "v", "w"))).doubts(np.array([0.0, 2.0, 1.0, 1.0]), answers)
    assert told(found) == ([True, True, False, False], [False, True, False, False])
    assert found.expected[0] == np.float64(1 - 0.95)


def test_a_quantity_is_sure_of_its_interval():
    answers = np.array([[5.0, 1, 9, 2], [5.0, 1, 9, 2], [5.0, np.nan, np.nan, np.nan]])
    found = task_of(Quantity("y", coverage=0.8)).doubts(np.array([9.0, 9.1, 0.0]), answers)
    assert told(found) == ([True, True, False], [False, True, False])
    assert found.expected.round(6).tolist() == [0.2] * 3


def test_answers_that_are_missing_are_not_sure():
    assert not task_of(Binary("y")).doubts(np.array([1.0]), np.array([np.nan])).is_sure.any()
    nothing = np.full((1, 3), np.nan)
    assert not task_of(Classes("y", values=("u", "v", "w"))).doubts(np.array([1.0]), nothing).is_sure.any()
