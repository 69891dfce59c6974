"""What the report of a search shows: its table and the marks of its plot."""

import pytest

from heliostat import Between, OneOf
from jobs._tuning_plot import draw, marks, score_height, worst_shown
from jobs._tuning_text import table


def trial(number: int, score: float | None, rate: float) -> dict:
    return {"trial": number, "score": score, "epochs": 3, "configuration": {"trees.learning_rate": rate}, "error": None}


def test_one_score_gone_astray_does_not_flatten_the_others():
    scores = [0.40, 0.41, 0.42, 0.43, 9.0]
    worst = worst_shown(scores)
    heights = [score_height(score, best=0.40, worst=worst) for score in scores]
    assert heights[0] == 1.0
    assert heights[3] == pytest.approx(0.5)
    assert heights[4] == 0.0


@pytest.mark.parametrize("scores", [[0.4, 0.41, 0.42], [0.9, 0.8, 0.75], [0.4, 0.4, 0.6], [0.4]])
def test_scores_that_belong_together_have_the_whole_axis(scores):
    assert worst_shown(scores) == scores[-1]


def test_equal_scores_are_all_the_best():
    assert score_height(0.4, best=0.4, worst=worst_shown([0.4, 0.4])) == 1.0


def test_an_axis_has_its_ends_and_round_values_between():
    assert list(marks(Between(1e-4, 1e-1, log=True))) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert list(marks(Between(32, 256, whole=True))) == [32, 100, 150, 200, 256]
    assert list(marks(OneOf((4, 8)))) == [4, 8]


def test_a_search_is_drawn_without_the_trials_that_failed(tmp_path):
    path = tmp_path / "search.png"
    trials = [trial(2, 0.40, 0.01), trial(1, 0.41, 0.1), trial(3, None, 0.02)]
    draw(path, {"trees.learning_rate": Between(1e-3, 1.0, log=True)}, trials, title="toy", higher_is_better=False)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_columns_of_long_names_stand_apart():
    trials = [{**trial(1, 0.4, 0.1), "configuration": {"trees.learning_rate": 0.1, "trees.column_share": 0.5}}]
    head, row = table(trials, title="toy").splitlines()[2:]
    assert head.split() == ["trial", "score", "rounds", "trees.learning_rate", "trees.column_share"]
    assert row.split() == ["1", "0.4000", "3", "0.1", "0.5"]
    assert len(head) == len(row)
