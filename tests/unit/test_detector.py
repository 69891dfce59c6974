"""The e-detector: how long it stays calm, how soon it sees, where it says a change began."""

import json
import math

import numpy as np
import pytest

from heliostat import Decay
from heliostat.errors import WorkloadError
from heliostat.metrics import log_loss, log_losses
from heliostat.tasks.expected import BETS, expected
from heliostat.watch.decay import watched, wealth_limit
from heliostat.watch.detector import (
    aligned,
    detect,
    normal_log_values,
    row_variance,
    shiryaev_roberts,
    surely_moved,
)
from heliostat.watch.drift import NUM_BETS, TOLERANCE, ColumnDrift, effect_of_calm, log_evidence
from heliostat.watch.events import CohortScore, ReferenceScore
from heliostat.watch.monitor_json import (
    expected_from_json,
    expected_to_json,
    reference_from_json,
    reference_to_json,
    window_from_json,
)
from heliostat.watch.reference import loss_reference

NUM_ROWS = 100
TRIGGER = Decay(log_loss, margin=0.02, min_rows=1)


def cohorts(probabilities: np.ndarray, truth: np.ndarray, random: np.random.Generator) -> list[CohortScore]:
    """Answers in blocks of 100 rows, with labels drawn from the true probabilities."""
    labels = (random.random(len(truth)) < truth).astype(float)
    found = []
    for rows in np.split(np.arange(len(truth)), range(NUM_ROWS, len(truth), NUM_ROWS)):
        losses = log_losses(labels[rows], probabilities[rows])
        scores = {"log_loss": float(losses.mean())}
        own = expected(probabilities[rows])
        found.append(
            CohortScore(num_predictions=len(rows), num_labelled=len(rows), score_by_metric=scores, expected=own)
        )
    return found


def reference(probabilities: np.ndarray, truth: np.ndarray, random: np.random.Generator) -> ReferenceScore:
    labels = (random.random(len(truth)) < truth).astype(float)
    return loss_reference(labels, probabilities, blocks=np.arange(len(labels)) // NUM_ROWS)


def first_alarm(scores: list[CohortScore], known: ReferenceScore) -> int | None:
    for num_seen in range(1, len(scores) + 1):
        found = watched(TRIGGER, scores[:num_seen], reference=known)
        if found.detected.log_value >= wealth_limit(TRIGGER):
            return num_seen
    return None


@pytest.mark.parametrize("bet", range(len(BETS)))
def test_the_moments_make_e_values_whatever_the_answers_are(bet):
    p = np.array([1e-6, 0.01, 0.3, 0.5, 0.97])
    for one in p:
        own = expected(np.array([one]))
        values = [math.exp(BETS[bet] * (loss - own.loss) - own.moments[bet]) for loss in log_losses_of(one)]
        assert one * values[1] + (1 - one) * values[0] == pytest.approx(1.0, abs=1e-6)


def log_losses_of(p: float) -> np.ndarray:
    return log_losses(np.array([0.0, 1.0]), np.array([p, p]))


def test_calm_blocks_reach_the_limit_after_so_many_blocks_or_more():
    random, run_lengths = np.random.default_rng(0), []
    for _ in range(60):
        values = normal_log_values(random.normal(size=400), np.ones(400), variance=np.ones(400))
        reached = [n for n in range(1, 400, 8) if detect(values[:n]).log_value >= math.log(100)]
        run_lengths.append(reached[0] if reached else 400)
    error = np.std(run_lengths) / math.sqrt(len(run_lengths))
    assert np.mean(run_lengths) + 3 * error > 100  # cut at 400 blocks, so the true mean is longer still


def test_calibrated_answers_give_no_alarm_when_rows_become_harder():
    random = np.random.default_rng(1)
    easy, hard = random.choice([0.02, 0.98], 3000), random.choice([0.4, 0.6], 5000)
    known = reference(easy, easy, random)
    truth = np.concatenate([easy, hard])
    scores = cohorts(truth, truth, random)
    assert scores[-1].score_by_metric["log_loss"] > known.score + 0.4
    assert first_alarm(scores, known) is None


def test_a_change_is_seen_within_a_few_blocks_also_after_a_long_calm():
    random = np.random.default_rng(2)
    answers = random.choice([0.1, 0.9], 12_000)
    truth = np.where(np.arange(12_000) < 10_000, answers, 0.5)
    known = reference(answers[:1000], answers[:1000], random)
    scores = cohorts(answers, truth, random)
    seen = first_alarm(scores, known)
    assert seen is not None
    assert 101 <= seen <= 103
    assert watched(TRIGGER, scores[:seen], reference=known).detected.onset == 100


def test_an_overconfident_model_is_measured_by_what_it_missed_on_the_hold_out():
    random = np.random.default_rng(3)
    truth = random.uniform(0.2, 0.8, 9000)
    logits = np.log(truth / (1 - truth))
    bold = 1 / (1 + np.exp(-2 * logits))
    known = reference(bold[:1000], truth[:1000], random)
    assert known.score > known.expected.loss + 0.05
    assert first_alarm(cohorts(bold[1000:], truth[1000:], random), known) is None


def test_false_alarms_on_calm_streams_stay_within_the_declared_rate():
    random = np.random.default_rng(4)
    alarms, num_blocks = 0, 200
    for _ in range(40):
        truth = random.beta(1, 3, num_blocks * NUM_ROWS + 2000)
        known = reference(truth[:2000], truth[:2000], random)
        alarms += first_alarm_value(cohorts(truth[2000:], truth[2000:], random), known)
    assert alarms <= 40 * num_blocks / TRIGGER.run_length


def first_alarm_value(scores: list[CohortScore], known: ReferenceScore) -> int:
    """1 when any prefix in steps of ten blocks reaches the limit."""
    looked = (watched(TRIGGER, scores[:n], reference=known).detected.log_value for n in range(10, len(scores) + 1, 10))
    return int(any(value >= wealth_limit(TRIGGER) for value in looked))


def test_days_that_err_together_raise_the_bar():
    random = np.random.default_rng(5)
    alarms = {}
    for shared in (0.0, 0.6):
        answers = np.full(60 * NUM_ROWS, 0.3)
        days = np.repeat(random.normal(0, shared, 60), NUM_ROWS)
        truth = 1 / (1 + np.exp(-(np.log(0.3 / 0.7) + days)))
        known = ReferenceScore(score=expected(answers).loss, num_rows=2000, expected=expected(answers))
        scores = cohorts(answers, truth, random)
        alarms[shared] = watched(TRIGGER, scores, reference=known).detected.log_value
    assert max(alarms.values()) < wealth_limit(TRIGGER)


def test_the_scale_of_a_block_comes_from_earlier_blocks_only():
    residuals, num_rows = np.array([0.0, 0.1, 0.0, 0.1, 5.0]), np.full(5, 10.0)
    other = row_variance(np.append(residuals[:4], -9.0), num_rows, known=0.0, floor=0.01)
    found = row_variance(residuals, num_rows, known=0.0, floor=0.01)
    assert found.tolist() == other.tolist()
    assert np.isinf(found[:3]).all()


def test_a_reference_as_it_was_stored_before_is_still_read():
    assert reference_from_json([0.5, 10, 0.1]) == ReferenceScore(score=0.5, num_rows=10, standard_error=0.1)


def test_what_was_expected_survives_storage_bit_for_bit():
    own = expected(np.random.default_rng(6).random(50))
    assert expected_from_json(json.loads(json.dumps(expected_to_json(own)))) == own
    full = ReferenceScore(score=0.5, num_rows=10, standard_error=0.1, expected=own)
    assert reference_from_json(json.loads(json.dumps(reference_to_json(full)))) == full


def test_a_run_length_of_one_window_is_refused():
    with pytest.raises(WorkloadError, match="at least 2"):
        Decay(log_loss, margin=0.1, run_length=1)


def test_without_blocks_the_detector_knows_nothing():
    assert detect(np.zeros((1, 3))).onset == 0


def test_the_sum_over_onsets_is_what_adding_block_by_block_gives():
    values = np.random.default_rng(3).normal(-0.5, 3.0, size=(500, 4))
    sums = np.full(4, -np.inf)
    for block in values:
        sums = np.logaddexp(0.0, sums) + block
    assert shiryaev_roberts(values) == pytest.approx(sums, abs=1e-9)
    assert (shiryaev_roberts(np.zeros((0, 4))) == -np.inf).all()


def test_the_evidence_of_a_window_is_an_e_value_on_the_edge_of_what_is_tolerated():
    random, reference = np.random.default_rng(7), np.full(10, 10_000)
    moved = np.full(10, 0.1)
    moved[0], moved[9] = moved[0] + TOLERANCE, moved[9] - TOLERANCE
    values = np.exp([log_evidence(reference, random.multinomial(500, moved)) for _ in range(2000)])
    assert values.shape == (2000, NUM_BETS)
    assert (values.mean(axis=0) < 1.0).all()
    moved[0], moved[9] = 0.19, 0.01
    assert max(log_evidence(reference, random.multinomial(500, moved))) > 5


def test_windows_that_scatter_more_than_independent_rows_prove_less():
    reference, current = np.full(10, 10_000), np.array([200, 0, *[100] * 8])
    assert 0 < max(log_evidence(reference, current, effect=3.0)) < max(log_evidence(reference, current)) / 2
    assert effect_of_calm(reference, current, calm_psi=0.05) > 1


def test_evidence_adds_up_over_columns_by_e_d_bh():
    strong, some, none = np.full((3, 1), 5.0), np.full((3, 1), 2.9), np.full((3, 1), -1.0)
    assert surely_moved({"a": strong, "b": none, "c": none}, run_length=1000) == ["a"]
    assert surely_moved({"a": some, "b": none, "c": none}, run_length=3000) == []
    assert surely_moved({"a": some, "b": some, "c": some}, run_length=3000) == ["a", "b", "c"]
    assert surely_moved({}, run_length=1000) == []


def test_a_bet_that_pays_off_slowly_is_not_diluted_by_bets_that_lose():
    mixed = np.stack([np.full(40, 0.4), np.full(40, -2.0)], axis=1)
    assert surely_moved({"a": mixed}, run_length=1000) == ["a"]
    each_window = np.logaddexp.reduce(mixed, axis=1, keepdims=True) - np.log(2)
    assert surely_moved({"a": each_window}, run_length=1000) == []


def test_windows_from_before_bets_were_kept_apart_go_together_with_newer_ones():
    assert aligned([(1.0,), (1.0, 2.0, 3.0)]).tolist() == [[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]]
    assert aligned([(1.0, 2.0), (1.0, 2.0, 3.0, 4.0)]).tolist() == [[1.0, 1.0, 2.0, 2.0], [1.0, 2.0, 3.0, 4.0]]


def test_a_window_stored_before_evidence_was_kept_is_still_read():
    stored = {
        "since": "2024-01-01",
        "until": "2024-01-02",
        "version": 1,
        "num_rows": 5,
        "drift_by_column": {"x": [1, 0]},
    }
    assert window_from_json(stored).drift_by_column["x"] == ColumnDrift(psi=1, floor=0)
