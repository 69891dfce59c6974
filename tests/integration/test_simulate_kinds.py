"""The loop of a simulation on streams whose labels are classes or quantities, with the learner of jobs.simulate."""

import numpy as np
import pyarrow as pa
import pytest

from heliostat import Classes, Number, Quantity
from heliostat.simulate.loop import Loop
from heliostat.simulate.outcome import _scores
from heliostat.simulate.play import Never, play
from heliostat.simulate.policy import Policy
from heliostat.simulate.stream import stream
from heliostat.simulate.turns import Trainer
from heliostat.tasks import task_of
from jobs._simulation_learner import Trees, remarks_on
from jobs._simulation_trees import num_rounds

NUM_ROWS = 4000
COLUMNS = (Number("a", low=-np.inf, high=np.inf), Number("b", low=-np.inf, high=np.inf))


def _stream(kind, *, change):
    generator = np.random.default_rng(3)
    a, b = generator.normal(size=NUM_ROWS), generator.normal(size=NUM_ROWS)
    is_late = np.arange(NUM_ROWS) >= NUM_ROWS * change
    if kind == "quantity":
        task, labels = task_of(Quantity("y")), np.where(is_late, 10 * b, 10 * a) + generator.normal(size=NUM_ROWS)
    else:
        task, turned = task_of(Classes("y", values=("low", "middle", "high"))), np.where(is_late, -a, a)
        labels = np.digitize(turned + 0.2 * generator.normal(size=NUM_ROWS), [-0.5, 0.5]).astype(float)
    return stream(pa.table({"a": a, "b": b}), COLUMNS, labels, first=0.25, task=task)


def _played(given, policy_of):
    policy = Policy.of(given)
    trainer = Trainer(given, Trees(given.columns, task=given.task), policy)
    turning = policy_of(trainer, policy)
    first = trainer.fit_unjudged(given.first_step, number=1)
    return play(given, first, turning, clock=lambda: 0.0, tell=lambda _: None)


@pytest.mark.parametrize("kind", ["classes", "quantity"])
def test_a_fit_that_was_begun_ends_as_a_whole_one_does(kind):
    given = _stream(kind, change=2.0)
    learner, rows, labels = Trees(given.columns, task=given.task), given.slice(0, 1000), given.labels[:1000]
    begun = learner.begin(rows, labels)
    asked = given.slice(1000, 1500)
    part, whole = begun.answers(asked), learner.fit(rows, labels).answers(asked)
    assert abs(part - whole).max() > 0.01
    np.testing.assert_allclose(begun.finished().answers(asked), whole, rtol=1e-6, atol=1e-9)


def test_many_classes_take_fewer_rounds_and_that_is_said():
    few, many = (task_of(Classes("y", values=tuple(range(number)))) for number in (10, 40))
    assert (num_rounds(few), num_rounds(many), num_rounds(task_of(Quantity("y")))) == (100, 25, 100)
    assert remarks_on(few) == []
    assert "25 rounds" in remarks_on(many)[0]
    generator = np.random.default_rng(0)
    rows, labels = pa.table({"a": generator.normal(size=400), "b": np.ones(400)}), np.arange(400.0) % 40
    learner = Trees(COLUMNS, task=many)
    whole, begun = learner.fit(rows, labels), learner.begin(rows, labels)
    assert (whole.fitted.trees.n_iter_, begun.model.fitted.trees.n_iter_) == (25, 8)
    np.testing.assert_allclose(begun.finished().answers(rows), whole.answers(rows), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ["classes", "quantity"])
def test_a_change_is_seen_and_learned_whatever_the_label_is(kind):
    given = _stream(kind, change=0.5)
    never = _played(given, lambda *_: Never())
    loop = _played(given, lambda trainer, policy: Loop(given, trainer, policy))
    labels = given.labels[given.first_rows :]
    assert loop.account.num_promotions >= 1
    assert any(given.task.loss.name in note.reason for note in loop.account.turns)
    kept, learned = (_scores(given.task, labels, one.answers) for one in (never, loop))
    assert learned.score.mean > kept.score.mean + 0.1
    assert learned.loss.mean < kept.loss.mean


@pytest.mark.parametrize("kind", ["classes", "quantity"])
def test_where_nothing_changes_nothing_is_alarmed(kind):
    given = _stream(kind, change=2.0)
    loop = _played(given, lambda trainer, policy: Loop(given, trainer, policy))
    assert loop.account.alarms == []
