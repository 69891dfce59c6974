"""Gates beside the scores, each on the evidence that it asks for."""

import pytest

from heliostat import AtMost, KeepsGolden, KeepsOlder, NoSliceWorse, QuickEnough
from heliostat.errors import WorkloadError
from heliostat.gates import Evidence, Hold, Promote, decide
from heliostat.guards import BatchTimes, Further, Golden, LossDifference
from heliostat.metrics import log_loss


def part(name, mean, *, error=0.01, num_rows=200):
    return LossDifference(name=name, num_rows=num_rows, mean=mean, standard_error=error)


SLICES = NoSliceWorse(columns=("site",))


def test_one_slice_that_is_surely_worse_holds_a_candidate_that_is_better_on_the_whole():
    found = SLICES.check(Further(slices=(part("site is a", -0.2), part("site is b", 0.08))))
    assert not found.passed
    assert found.reason == "loss +0.0800 ± 0.0196 where site is b, on 200 rows, the worst of 2 slices"


def test_the_more_slices_there_are_the_surer_one_must_be():
    one = (part("site is a", 0.018),)
    many = (*one, *(part(f"site is {number}", 0.0) for number in range(50)))
    assert not SLICES.check(Further(slices=one)).passed
    assert SLICES.check(Further(slices=many)).passed


def test_slices_of_few_rows_judge_nobody():
    assert SLICES.check(Further(slices=(part("site is a", 0.5, num_rows=99),))).passed
    assert SLICES.check(Further()).passed


@pytest.mark.parametrize(("mean", "passed"), [(0.02, True), (0.2, False)])
def test_what_was_forgotten_is_held_against_a_margin(mean, passed):
    found = KeepsOlder(margin=0.05).check(Further(older=part("rows from before its own", mean)))
    assert found.passed == passed
    assert "200 rows from before its own" in found.reason


def test_without_older_rows_nothing_can_be_forgotten():
    assert KeepsOlder(margin=0.0).check(Further()).passed


def test_a_golden_answer_that_is_off_is_named():
    gate = KeepsGolden(path="golden.csv", tolerance=0.1)
    off = Golden(num_rows=9, num_off=2, worst_row=4, worst_distance=0.31)
    found = gate.check(Further(golden=off))
    assert (found.passed, found.reason) == (
        False,
        "2 of 9 golden answers are off by more than 0.1, worst row 4 by 0.3100",
    )
    assert gate.check(Further(golden=Golden(num_rows=9, num_off=0, worst_row=4, worst_distance=0.01))).passed
    assert not gate.check(Further()).passed


@pytest.mark.parametrize(
    ("own_ms", "champion_ms", "passed"), [(4.0, 1.0, True), (9.0, 1.0, False), (9.0, 4.0, True), (9.0, None, False)]
)
def test_slow_is_what_takes_longer_than_asked_and_longer_than_the_champion_by_far(own_ms, champion_ms, passed):
    times = BatchTimes(num_rows=64, own_ms=own_ms, champion_ms=champion_ms)
    assert QuickEnough(max_ms=5).check(Further(times=times)).passed == passed


def test_a_verdict_names_the_gates_of_both_kinds():
    evidence = Evidence(
        num_rows=500,
        candidate={"log_loss": 0.4},
        constant={},
        further=Further(older=part("rows of all history", 0.0)),
    )
    found = decide([AtMost(log_loss, 0.5), KeepsOlder(margin=0.1)], evidence)
    assert isinstance(found, Promote)
    assert len(found.reasons) == 2
    assert isinstance(decide([AtMost(log_loss, 0.5), QuickEnough(max_ms=1)], evidence), Hold)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: NoSliceWorse(columns=()),
        lambda: KeepsOlder(margin=-1),
        lambda: KeepsGolden(path="golden.xlsx", tolerance=0.1),
        lambda: QuickEnough(max_ms=0),
    ],
)
def test_gates_that_mean_nothing_are_refused(wrong):
    with pytest.raises(WorkloadError):
        wrong()
