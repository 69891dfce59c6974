"""What a workload may ask of others: wrong declarations are refused with the fix, before anything runs."""

from dataclasses import replace

import pytest

from heliostat import Cascade, Ensemble, Input, Number
from heliostat.declared.inputs import asked, refuse_cycle
from heliostat.errors import WorkloadError
from tests import toy

SCORE = Number("score_of_a", low=0, high=1, optional=True)


def test_a_circle_is_refused_with_the_way_round():
    with pytest.raises(WorkloadError, match=r"'a' asks 'b' asks 'c' asks 'a', so no answer would ever come"):
        refuse_cycle({"a": ["b"], "b": ["c"], "c": ["a"]})


def test_a_circle_is_found_behind_those_who_are_not_in_it():
    with pytest.raises(WorkloadError, match=r"'b' asks 'c' asks 'b'"):
        refuse_cycle({"a": ["b"], "b": ["c"], "c": ["d", "b"], "d": []})


def test_two_ways_to_the_same_workload_are_no_circle():
    refuse_cycle({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []})


def test_a_workload_cannot_ask_itself():
    with pytest.raises(WorkloadError, match="'toy' asks 'toy'"):
        replace(toy.workload, combine=Ensemble(weights={"toy": 1.0}))


def test_an_input_needs_a_column_that_can_hold_a_probability_or_nothing():
    given = (Input(column="score_of_a", workload="a"),)
    for columns in (
        toy.workload.columns,
        (*toy.workload.columns, replace(SCORE, optional=False)),
        (*toy.workload.columns, replace(SCORE, high=0.5)),
    ):
        with pytest.raises(WorkloadError, match=r'declare Number\("score_of_a", low=0, high=1, optional=True\)'):
            replace(toy.workload, columns=columns, inputs=given)
    assert replace(toy.workload, columns=(*toy.workload.columns, SCORE), inputs=given).asks == ("a",)


def test_every_workload_that_is_asked_is_named_once():
    inputs = [Input(column="x", workload="a"), Input(column="y", workload="b")]
    assert asked(inputs, Cascade(then=("b", "c"))) == ("a", "b", "c")
    assert asked([], Ensemble(weights={"a": 1, "b": 2})) == ("a", "b")
    assert asked([], None) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Input(column="x", workload="a", when_missing="ignore"),
        lambda: Input(column="x", workload="a", when_missing=1.5),
        lambda: Input(column="x", workload="a", timeout_s=0),
        lambda: Ensemble(weights={}),
        lambda: Ensemble(weights={"a": 0}),
        lambda: Cascade(then="big"),
        lambda: Cascade(then=("big",), until_confident=0.5),
    ],
)
def test_a_declaration_that_cannot_be_followed_is_refused(wrong):
    with pytest.raises(WorkloadError):
        wrong()
