"""Each kind of label, asked what the house asks of it; scikit-learn and arithmetic say what is right."""

import math

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, mean_squared_error, r2_score
from sklearn.metrics import log_loss as sklearn_log_loss

from heliostat import Binary, Classes, Quantity
from heliostat.errors import ContractError, WorkloadError
from heliostat.govern.evidence import evidence
from heliostat.metrics import accuracy, log_loss, macro_f1, mae, mse, r2, rmse
from heliostat.tasks import repeated, task_of
from heliostat.tasks.expected import BETS, expected, expected_of_classes
from heliostat.triggers import Decay, Slack
from heliostat.watch.coding import CONFIDENCE
from heliostat.watch.decay import watched, wealth_limit
from heliostat.watch.events import CohortScore
from heliostat.watch.profile import Profile
from heliostat.watch.reference import loss_reference

COLOURS = Classes("colour", values=("red", "green", "blue"))
MINUTES = Quantity("minutes", low=0, high=600, unit="min")


def colours(num_rows, *, seed=0, sharpness=1.0):
    """Labels drawn from probabilities, and these as a model says them: as they are, or sharper."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(num_rows, 3))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    said = np.exp(sharpness * logits)
    labels = (generator.random(num_rows)[:, None] > true.cumsum(axis=1)).sum(axis=1).astype(float)
    return labels, said / said.sum(axis=1, keepdims=True)


def minutes(num_rows, *, seed=0, error=5.0, deviation=5.0):
    generator = np.random.default_rng(seed)
    values = generator.uniform(100, 200, num_rows)
    labels = values + generator.normal(0, error, num_rows)
    beyond = 1.645 * deviation
    return labels, np.stack([values, values - beyond, values + beyond, np.full(num_rows, deviation)], axis=1)


def test_classes_are_scored_as_scikit_learn_scores_them():
    labels, answers = colours(500)
    assert log_loss(labels, answers) == pytest.approx(sklearn_log_loss(labels, answers))
    assert accuracy(labels, answers) == accuracy_score(labels, answers.argmax(axis=1))
    assert macro_f1(labels, answers) == pytest.approx(f1_score(labels, answers.argmax(axis=1), average="macro"))


def test_quantities_are_scored_as_scikit_learn_scores_them():
    labels, answers = minutes(500)
    assert mse(labels, answers) == pytest.approx(mean_squared_error(labels, answers[:, 0]))
    assert rmse(labels, answers) == pytest.approx(math.sqrt(mse(labels, answers)))
    assert mae(labels, answers) == pytest.approx(mean_absolute_error(labels, answers[:, 0]))
    assert r2(labels, answers) == pytest.approx(r2_score(labels, answers[:, 0]))
    assert math.isnan(r2(np.ones(5), answers[:5]))


@pytest.mark.parametrize(
    ("label", "sample"),
    [(COLOURS, colours), (MINUTES, minutes), (Binary("late"), None)],
    ids=str,
)
def test_answers_come_back_from_their_columns_bit_for_bit(label, sample):
    task = task_of(label)
    answers = np.linspace(0, 1, 20) if sample is None else sample(20)[1]
    table = pa.table(dict(task.columns(answers)))
    assert table.schema.names == [field.name for field in task.stored]
    assert [table.schema.field(field.name).type for field in task.stored] == [field.type for field in task.stored]
    assert np.array_equal(task.answers(table), answers)
    assert answers.shape[1:] == task.shape
    nothing = pa.table({field.name: pa.nulls(2, field.type) for field in task.stored})
    assert np.isnan(task.answers(nothing)).all()
    assert task.answers(nothing).shape == (2, *task.shape)


@pytest.mark.parametrize(("label", "sample"), [(COLOURS, colours), (MINUTES, minutes)], ids=["classes", "quantity"])
def test_a_loss_is_the_mean_of_its_rows_and_beats_the_constant(label, sample):
    task = task_of(label)
    labels, answers = sample(400)
    assert task.losses(labels, answers).mean() == pytest.approx(task.loss(labels, answers))
    assert task.row_scores(labels, answers).mean() == pytest.approx(task.score(labels, answers))
    assert task.loss(labels, answers) < task.loss(labels, repeated(task.constant(labels), 400))


def test_the_best_constant_answer_cannot_be_bettered():
    for label, sample in ((COLOURS, colours), (MINUTES, minutes)):
        task = task_of(label)
        labels, _ = sample(300)
        best = task.constant(labels)
        for shift in (0.05, -0.05):
            other = best.copy()
            other[0] += shift
            other[1] -= shift
            assert task.loss(labels, repeated(other, 300)) > task.loss(labels, repeated(best, 300))


def test_two_classes_expect_what_a_probability_expects():
    p = np.random.default_rng(0).uniform(0.02, 0.98, 200)
    one, two = expected(p), expected_of_classes(np.stack([1 - p, p], axis=1))
    assert one.loss == pytest.approx(two.loss)
    assert one.variance == pytest.approx(two.variance)
    assert one.moments == pytest.approx(two.moments)
    assert one.slack_moments == pytest.approx(two.slack_moments)
    assert len(one.moments) == len(BETS)


def test_calibrated_classes_lose_what_they_expect():
    labels, answers = colours(40_000)
    found = task_of(COLOURS).expected(answers)
    assert log_loss(labels, answers) == pytest.approx(found.loss, abs=4 * math.sqrt(found.variance / 40_000))


def test_an_honest_quantity_errs_as_it_expects():
    labels, answers = minutes(40_000)
    found = task_of(MINUTES).expected(answers)
    assert mse(labels, answers) == pytest.approx(found.loss, abs=4 * math.sqrt(found.variance / 40_000))


@pytest.mark.parametrize("kind", ["classes", "quantity"])
@pytest.mark.parametrize("is_worse", [False, True])
def test_decay_is_seen_when_answers_err_more_than_they_expect_and_only_then(kind, is_worse):
    label, sample, change, margin = {
        "classes": (COLOURS, colours, {"sharpness": 3.0}, 0.03),
        "quantity": (MINUTES, minutes, {"error": 8.0}, 3.0),
    }[kind]
    task = task_of(label)

    def cohort(seed):
        labels, answers = sample(300, seed=seed, **(change if is_worse and seed > 20 else {}))
        scores = {metric.name: metric(labels, answers) for metric in task.metrics}
        return CohortScore(
            num_predictions=300, num_labelled=300, score_by_metric=scores, expected=task.expected(answers)
        )

    labels, answers = sample(3000, seed=99)
    reference = loss_reference(labels, answers, blocks=np.arange(3000) // 300, task=task)
    trigger = Decay(task.loss, margin=margin)
    found = watched(trigger, [cohort(seed) for seed in range(1, 41)], reference=reference)
    assert (found.detected.log_value > wealth_limit(trigger)) == is_worse
    if is_worse:
        assert found.detected.onset == pytest.approx(20, abs=1)


def test_slack_is_seen_when_a_quantity_errs_less_than_it_expects():
    task = task_of(MINUTES)
    scores = []
    for seed in range(40):
        labels, answers = minutes(300, seed=seed, error=5.0 if seed < 20 else 2.0)
        scores.append(
            CohortScore(
                num_predictions=300,
                num_labelled=300,
                score_by_metric={"mse": mse(labels, answers)},
                expected=task.expected(answers),
            )
        )
    labels, answers = minutes(3000, seed=99)
    reference = loss_reference(labels, answers, blocks=np.arange(3000) // 300, task=task)
    trigger = Slack(margin=3.0, metric=mse)
    assert watched(trigger, scores[:20], reference=reference).detected.log_value < wealth_limit(trigger)
    assert watched(trigger, scores, reference=reference).detected.log_value > wealth_limit(trigger)


@pytest.mark.parametrize(("label", "sample"), [(COLOURS, colours), (MINUTES, minutes)], ids=["classes", "quantity"])
def test_candidate_and_champion_are_compared_row_by_row_by_the_loss_of_their_kind(label, sample):
    task = task_of(label)
    labels, answers = sample(400)
    worse = 0.1 * answers + 0.9 * repeated(task.constant(labels), 400)
    found = evidence(
        labels,
        answers,
        champion=1,
        champion_answers=worse,
        constant=task.constant(labels),
        blocks=np.arange(400) // 40,
        task=task,
    )
    assert found.paired.mean_difference == pytest.approx(task.loss(labels, answers) - task.loss(labels, worse))
    assert found.paired.mean_difference + 1.64 * found.paired.standard_error < 0
    assert set(found.candidate) == {metric.name for metric in task.metrics}


@pytest.mark.parametrize(
    ("label", "good", "bad"),
    [
        (Binary("late"), {0: 0.0, 1: 1.0}, [True, 2, "1", None, math.nan]),
        (COLOURS, {"red": 0.0, "blue": 2.0}, ["pink", 0, None, True, ["red"]]),
        (Classes("stars", values=(4, 5, 6)), {4: 0.0, 6: 2.0}, [0, "4", 4.0, True]),
        (MINUTES, {0: 0.0, 12.5: 12.5, 600: 600.0}, [-1, 601, "12", True, math.nan, math.inf]),
        (Quantity("euros"), {-5: -5.0}, [math.nan, math.inf, -math.inf, None, 10**400]),
    ],
    ids=lambda each: str(each)[:20],
)
def test_a_label_that_a_caller_sends_is_taken_or_refused_by_its_kind(label, good, bad):
    task = task_of(label)
    assert {value: task.code(value) for value in good} == good
    assert [task.code(value) for value in bad] == [None] * len(bad)
    assert [task.value(code) for code in good.values()] == list(good)


def test_labels_of_a_source_become_numbers_and_what_is_none_is_marked():
    assert task_of(COLOURS).codes(pa.chunked_array([["blue", None, "pink"]])) == pytest.approx(
        [2.0, math.nan, math.inf], nan_ok=True
    )
    assert task_of(MINUTES).codes(pa.chunked_array([[5, None, -1]])) == pytest.approx(
        [5.0, math.nan, math.inf], nan_ok=True
    )
    with pytest.raises(ContractError, match="must be a number"):
        task_of(MINUTES).codes(pa.chunked_array([["soon"]]))


def test_classes_that_were_added_later_had_no_chance_before():
    before = task_of(Classes("colour", values=("red", "green")))
    table = pa.table(dict(before.columns(np.array([[0.2, 0.8], [0.5, 0.5]]))))
    assert task_of(COLOURS).answers(table).tolist() == [[0.2, 0.8, 0.0], [0.5, 0.5, 0.0]]


def test_answers_that_move_to_another_class_are_drift_of_the_output():
    task = task_of(COLOURS)
    _, answers = colours(2000)
    table = pa.table({"x": np.zeros(2000)})
    profile = Profile.fit(table, [], answers, task=task)
    likely = answers * [1.0, 1.0, 5.0]
    likely /= likely.sum(axis=1, keepdims=True)
    same, moved = (
        profile.compare(profile.count(table, task.output(one), sureness=task.sureness(one)))
        for one in (colours(2000, seed=1)[1], likely)
    )
    assert same["probabilities"].effect < 0.02
    assert same[CONFIDENCE].effect < 0.02
    assert moved["probabilities"].effect > 0.25


def test_classes_that_are_answered_less_surely_are_drift_of_the_confidence_alone():
    task = task_of(COLOURS)
    _, answers = colours(4000)
    unsure = answers**0.3 / (answers**0.3).sum(axis=1, keepdims=True)
    table = pa.table({"x": np.zeros(4000)})
    profile = Profile.fit(table, [], answers, task=task)
    found = profile.compare(profile.count(table, task.output(unsure), sureness=task.sureness(unsure)))
    assert found[CONFIDENCE].effect > 0.25
    assert found["probabilities"].effect < 0.02
    with pytest.raises(ContractError, match="sureness"):
        profile.count(table, task.output(unsure))


def test_a_default_must_be_an_answer_of_its_kind():
    assert task_of(Binary("late")).default_answer(0.2) == pytest.approx(0.2)
    assert task_of(Binary("late")).default_answer(2) is None
    assert task_of(COLOURS).default_answer("green").tolist() == [0.0, 1.0, 0.0]
    assert task_of(COLOURS).default_answer("pink") is None
    assert task_of(MINUTES).default_answer(30)[0] == 30.0
    assert task_of(MINUTES).default_answer(-1) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Classes("c", values=("a",)), "at least two different values"),
        (lambda: Classes("c", values=("a", "a")), "at least two different values"),
        (lambda: Classes("c", values=("a", 1)), "each of it a text or a tuple, each"),
        (lambda: Classes("c", values=(True, False)), "each of it a text or a tuple, each"),
        (lambda: Quantity("q", low=1, high=1), "low must be below high"),
        (lambda: Quantity("q", coverage=1.0), "between 0 and 1"),
        (lambda: Slack(margin=0.1, metric=accuracy), "expect a loss of themselves"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_with_its_remedy(wrong, said):
    with pytest.raises(WorkloadError, match=said):
        wrong()
