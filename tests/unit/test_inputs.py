"""What a workload may ask of others: wrong declarations are refused with the fix, before anything runs."""

import math
from dataclasses import replace

import pytest

from heliostat import Cascade, Category, Ensemble, Input, Number, Text, Vector
from heliostat.declared.inputs import asked, refuse_cycle
from heliostat.errors import WorkloadError
from tests import toy, toy_kinds

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


def test_an_input_needs_a_column_that_can_hold_an_answer_or_nothing():
    given = (Input(column="score_of_a", workload="a"),)
    for columns in (
        toy.workload.columns,
        (*toy.workload.columns, replace(SCORE, optional=False)),
        (*toy.workload.columns, Text("score_of_a", optional=True)),
    ):
        with pytest.raises(
            WorkloadError, match=r'Number\("score_of_a", low=0, high=1, optional=True\) for a probability'
        ):
            replace(toy.workload, columns=columns, inputs=given)
    assert replace(toy.workload, columns=(*toy.workload.columns, SCORE), inputs=given).asks == ("a",)


def asking(column, when_missing="leave out"):
    inputs = (Input(column=column.name, workload="a", when_missing=when_missing),)
    return replace(toy.workload, columns=(*toy.workload.columns, column), inputs=inputs)


def test_what_stands_in_for_an_answer_is_a_value_of_the_column_or_of_the_label():
    asking(Number("wear_um", low=0, high=1000, optional=True), 250.0)
    asking(Category("cause", closed=("heat", "none"), optional=True), "none")
    asking(Vector("causes", 3, optional=True), "fail")
    replace(toy_kinds.cause, combine=Ensemble(weights={"a": 1.0}, when_missing="heat"))
    replace(toy_kinds.cause, combine=Cascade(then=("a",), until_confident=0.4))
    replace(toy_kinds.wear, combine=Ensemble(weights={"a": 1.0}, when_missing=200.0))


def test_a_quantity_has_no_cascade_because_all_its_intervals_are_of_one_width():
    with pytest.raises(WorkloadError, match="no row is less sure than another; use Ensemble"):
        replace(toy_kinds.wear, combine=Cascade(then=("a",)))


def test_every_workload_that_is_asked_is_named_once():
    inputs = [Input(column="x", workload="a"), Input(column="y", workload="b")]
    assert asked(inputs, Cascade(then=("b", "c"))) == ("a", "b", "c")
    assert asked([], Ensemble(weights={"a": 1, "b": 2})) == ("a", "b")
    assert asked([], None) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Input(column="x", workload="a", when_missing=True),
        lambda: Input(column="x", workload="a", timeout_s=0),
        lambda: Ensemble(weights={}),
        lambda: Ensemble(weights={"a": 0}),
        lambda: Ensemble(weights={"a": math.nan}),
        lambda: Ensemble(weights={"a": 1.0, "b": math.inf}),
        lambda: Ensemble(weights={"a": 1.0}, own=math.nan),
        lambda: Cascade(then="big"),
        lambda: Cascade(then=("big",), until_confident=0.0),
        lambda: replace(toy.workload, combine=Cascade(then=("big",), until_confident=0.5)),
        lambda: replace(toy.workload, combine=Ensemble(weights={"a": 1.0}, when_missing="ignore")),
        lambda: replace(toy.workload, combine=Ensemble(weights={"a": 1.0}, when_missing=1.5)),
        lambda: replace(toy_kinds.cause, combine=Cascade(then=("big",), until_confident=0.33)),
        lambda: replace(toy_kinds.cause, combine=Ensemble(weights={"a": 1.0}, when_missing="rust")),
        lambda: replace(toy_kinds.wear, combine=Ensemble(weights={"a": 1.0}, when_missing=-1.0)),
        lambda: asking(Number("x", low=0, high=1, optional=True), 1.5),
        lambda: asking(Number("x", low=0, high=1, optional=True), "ignore"),
        lambda: asking(Category("x", closed=("heat",), optional=True), "rust"),
        lambda: asking(Vector("x", 3, optional=True), 0.5),
    ],
)
def test_a_declaration_that_cannot_be_followed_is_refused(wrong):
    with pytest.raises(WorkloadError):
        wrong()
