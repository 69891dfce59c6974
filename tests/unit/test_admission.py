import pytest

from heliostat.serving.admission import Pace, refuse_expired, refuse_overload, timeout_of
from heliostat.serving.problem import MalformedError, OverloadedError

PLENTY = {"max_waiting_rows": 1000, "wait_s": 0.0, "left_s": 1.0}


def measured(*batches):
    pace = Pace()
    for num_rows, elapsed_s in batches:
        pace = pace.after(num_rows, elapsed_s)
    return pace


def test_the_fixed_part_and_the_part_a_row_are_told_apart():
    pace = measured(*((rows, 0.010 + 0.001 * rows) for rows in (1, 50, 200, 10, 400)))
    assert pace.wait_s(100, max_batch_rows=1000) == pytest.approx(0.110, abs=1e-6)
    assert pace.wait_s(2000, max_batch_rows=1000) == pytest.approx(2.020, abs=1e-6)


def test_single_rows_say_nothing_of_large_batches():
    pace = measured(*[(1, 0.0004)] * 50)
    assert pace.wait_s(50_000, max_batch_rows=16_384) == pytest.approx(4 * 0.0004)


def test_the_pace_follows_a_model_that_became_slow():
    pace = measured(*[(100, 0.01)] * 50, *[(100, 1.0)] * 100)
    assert pace.wait_s(100, max_batch_rows=100) == pytest.approx(1.0, rel=0.01)


def test_before_the_first_batch_nothing_is_known_and_nothing_is_refused():
    assert Pace().wait_s(1000, max_batch_rows=10) == 0.0


@pytest.mark.parametrize("batches", [[(1, 0.5), (1000, 0.001)], [(1, 0.0)], [(5, 0.1), (5, 0.2)]])
def test_a_wait_is_never_negative(batches):
    assert measured(*batches).wait_s(10_000, max_batch_rows=100) >= 0


def test_the_queue_is_full_at_its_last_row():
    refuse_overload(100, ahead=900, **PLENTY)
    with pytest.raises(OverloadedError, match="over 1000"):
        refuse_overload(101, ahead=900, **PLENTY)


def test_alone_even_more_rows_than_may_wait_are_taken():
    refuse_overload(5000, ahead=0, **PLENTY)


def test_what_would_be_late_is_refused_and_told_when_to_come_back():
    refuse_overload(1, ahead=10, max_waiting_rows=1000, wait_s=0.9, left_s=1.0)
    with pytest.raises(OverloadedError, match=r"about 4\.500 s") as refused:
        refuse_overload(1, ahead=10, max_waiting_rows=1000, wait_s=4.5, left_s=1.0)
    assert refused.value.retry_after_s == 4


def test_a_request_expires_with_its_time():
    assert refuse_expired(0.001, timeout_s=2) is None
    assert "within 2 s" in str(refuse_expired(0.0, timeout_s=2))


def test_a_timeout_is_the_callers_or_the_workloads():
    assert timeout_of(None, default_s=30) == 30
    assert timeout_of("0.25", default_s=30) == 0.25


@pytest.mark.parametrize("header", ["", "0", "-1", "nan", "inf", "601", "soon", "1e9", "1" * 5000])
def test_a_timeout_that_is_no_usable_number_is_malformed(header):
    with pytest.raises(MalformedError, match="X-Request-Timeout-Seconds"):
        timeout_of(header, default_s=30)


def paced(*, per_batch_s, per_row_s):
    pace = Pace()
    for num_rows in (1, 10, 100, 1000):
        pace = pace.after(num_rows, per_batch_s + num_rows * per_row_s)
    return pace


def test_a_batch_has_as_many_rows_as_fit_the_limit():
    pace = paced(per_batch_s=0.002, per_row_s=1e-5)
    assert pace.rows_within(0.02, most=16_384) == pytest.approx(1800, abs=1)
    assert pace.rows_within(0.02, most=500) == 500


def test_nothing_limits_a_batch_before_its_rows_are_known_to_cost_time():
    assert Pace().rows_within(0.02, most=100) == 100
    assert Pace().after(64, 0.5).rows_within(0.02, most=100) == 100


def test_where_the_fixed_part_is_all_of_the_limit_rows_may_take_as_long_again():
    pace = paced(per_batch_s=0.05, per_row_s=1e-4)
    assert pace.rows_within(0.02, most=16_384) == pytest.approx(500, abs=1)


def test_rows_strictly_within_a_limit_take_no_longer_with_the_fixed_part():
    assert paced(per_batch_s=0.008, per_row_s=1e-4).rows_strictly_within(0.01, most=512) in (19, 20)
    assert paced(per_batch_s=0.0099, per_row_s=1e-3).rows_strictly_within(0.01, most=512) == 0
    assert paced(per_batch_s=0.05, per_row_s=1e-4).rows_strictly_within(0.01, most=512) == 0
    assert paced(per_batch_s=0.001, per_row_s=1e-4).rows_strictly_within(0.01, most=0) == 0
    assert Pace().rows_strictly_within(0.01, most=512) == 512


def test_a_batch_always_has_room_for_one_row():
    assert paced(per_batch_s=0.001, per_row_s=1.0).rows_within(0.02, most=100) == 1
