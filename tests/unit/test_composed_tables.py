"""Models that ask models, over a table: who is asked for which rows, and what stands where an answer is missing."""

import json

import numpy as np
import pyarrow as pa
import pytest

from heliostat import Cascade, Category, Ensemble, Input, Number
from heliostat.bulk.composed import Composed

LOAD = Number("load", low=0, high=100)
SITE = Category("site", closed=("alpha", "beta"))
ROWS = pa.table({"load": [10.0, 40.0, 90.0], "site": ["alpha", "gamma", "beta"], "score": pa.nulls(3, pa.float64())})


class Share:
    """Answers with a share of one column, and remembers how many rows it was asked about."""

    def __init__(self, column="load", share=0.01):
        self.column, self.share, self.num_asked = column, share, 0

    def answers(self, table):
        self.num_asked += table.num_rows
        return np.nan_to_num(table[self.column].to_numpy().astype(float), nan=0.5) * self.share


SCORE = Number("score", low=0, high=1, optional=True)


def other(model, *columns, **fields):
    return Composed(number=7, model=model, columns=columns or (LOAD,), **fields)


def test_an_ensemble_is_the_weighted_mean_and_names_every_vote():
    asked = {"b": other(Share(share=0.005))}
    said = Composed(number=1, model=Share(), combine=Ensemble(weights={"b": 3.0}), other_by_workload=asked).said(ROWS)
    assert said.answers == pytest.approx([0.0625, 0.25, 0.5625])
    took_part = json.loads(said.answered_with[2])
    assert took_part["own"] == pytest.approx(0.9)
    assert took_part["others"]["b"] == {"probability": pytest.approx(0.45), "version": 7, "id": None}


def test_a_cascade_asks_only_about_the_rows_that_the_one_before_is_unsure_of():
    second = Share(share=0.001)
    combine = Cascade(then=("b",), until_confident=0.8)
    said = Composed(number=1, model=Share(), combine=combine, other_by_workload={"b": other(second)}).said(ROWS)
    assert (second.num_asked, said.answers) == (1, pytest.approx([0.1, 0.04, 0.9]))


def test_a_chain_gives_its_model_what_the_other_says():
    inputs = (Input(column="score", workload="b"),)
    said = Composed(
        number=1,
        model=Share("score", 1.0),
        columns=(SCORE,),
        inputs=inputs,
        other_by_workload={"b": other(Share(share=0.002))},
    ).said(ROWS)
    assert said.answers == pytest.approx([0.02, 0.08, 0.18])
    assert said.rows["score"].to_pylist() == pytest.approx([0.02, 0.08, 0.18])


def test_those_who_are_asked_ask_on():
    last = other(Share(share=0.002))
    middle = other(Share(), combine=Ensemble(weights={"c": 1.0}), other_by_workload={"c": last})
    inputs = (Input(column="score", workload="b"),)
    said = Composed(
        number=1, model=Share("score", 1.0), columns=(SCORE,), inputs=inputs, other_by_workload={"b": middle}
    ).said(ROWS)
    assert said.answers == pytest.approx([0.06, 0.24, 0.54])


@pytest.mark.parametrize(
    ("when_missing", "expected", "refused"),
    [("leave out", [0.05, 0.4, 0.45], []), (0.0, [0.05, 0.2, 0.45], []), ("fail", [0.05, 0.4, 0.45], [1])],
)
def test_a_row_that_the_other_cannot_read_has_no_answer_of_it(when_missing, expected, refused):
    """The second row's site is none that the other knows; the others of the table are answered as ever."""
    combine = Ensemble(weights={"b": 1.0}, when_missing=when_missing)
    asked = {"b": other(Share(share=0.0), LOAD, SITE)}
    said = Composed(number=1, model=Share(), combine=combine, other_by_workload=asked).said(ROWS)
    assert said.answers == pytest.approx(expected)
    assert list(said.refused) == refused
    assert "'gamma'" in said.degraded_reason


def test_without_a_version_that_serves_the_declaration_holds():
    left_out = Composed(number=1, model=Share(), combine=Ensemble(weights={"b": 1.0})).said(ROWS)
    assert left_out.answers == pytest.approx([0.1, 0.4, 0.9])
    assert "no version of it serves" in left_out.degraded_reason
    failing = Composed(number=1, model=Share(), combine=Ensemble(weights={"b": 1.0}, when_missing="fail")).said(ROWS)
    assert list(failing.refused) == [0, 1, 2]


def test_a_number_that_is_none_counts_as_no_answer():
    asked = {"b": other(Share(share=float("nan")))}
    said = Composed(number=1, model=Share(), combine=Ensemble(weights={"b": 1.0}), other_by_workload=asked).said(ROWS)
    assert said.answers == pytest.approx([0.1, 0.4, 0.9])
    assert "no finite answer" in said.degraded_reason
