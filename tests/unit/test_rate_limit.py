import pytest

from heliostat.records import KeyRecord
from heliostat.serving.problem import RateLimitError
from heliostat.serving.rate_limit import Bucket, KeyLimits, RateLimit, take

LIMIT = RateLimit(requests_per_s=2.0, burst=3.0)


def limited():
    return KeyLimits(2.0, 3, num_replicas=1)


def key(key_id, **own):
    return KeyRecord(key_id=key_id, hash="", role="caller", name=key_id, workload=None, **own)


def admitted(limits, key_id, *instants_s, **own):
    answers = []
    for now_s in instants_s:
        try:
            limits.refuse(key(key_id, **own), now_s=now_s)
        except RateLimitError:
            answers.append(False)
        else:
            answers.append(True)
    return answers


def test_a_burst_goes_at_once_and_then_the_rate_counts():
    limits = limited()
    assert admitted(limits, "a", 0, 0, 0, 0, 0.4, 0.5, 0.6, 1.0) == [True, True, True, False, False, True, False, True]


def test_keys_do_not_use_up_each_others_share():
    limits = limited()
    assert admitted(limits, "a", 0, 0, 0, 0)[-1] is False
    assert admitted(limits, "b", 0, 0, 0) == [True] * 3


def test_a_pause_fills_the_bucket_to_the_burst_and_no_further():
    limits = limited()
    assert admitted(limits, "a", 0, 0, 0, 1e6, 1e6, 1e6, 1e6)[-4:] == [True, True, True, False]


def test_in_the_long_run_the_rate_is_what_was_declared():
    limits = limited()
    answers = admitted(limits, "a", *(step / 100 for step in range(10_000)))
    assert sum(answers) == pytest.approx(100 * 2.0 + 3, abs=1)


def test_who_has_to_wait_is_told_how_long_and_waiting_that_long_is_enough():
    bucket, wait_s = take(Bucket(tokens=0.25, at_s=10.0), LIMIT, now_s=10.0)
    assert wait_s == 0.375
    assert take(bucket, LIMIT, now_s=10.0 + wait_s)[1] == 0.0


def test_a_clock_that_stands_still_or_goes_back_gives_nothing():
    empty = Bucket(tokens=0.0, at_s=10.0)
    assert empty.tokens_at(10.0, LIMIT) == empty.tokens_at(5.0, LIMIT) == 0.0


def test_a_replica_gives_its_part_and_at_least_one_request():
    halved = KeyLimits(8.0, 10, num_replicas=2)
    assert admitted(halved, "a", *[0.0] * 6) == [True] * 5 + [False]
    assert admitted(KeyLimits(0.1, None, num_replicas=4), "a", 0, 0) == [True, False]


def test_without_a_limit_everybody_may_ask():
    assert all(admitted(KeyLimits(None, None, num_replicas=2), "a", *[0.0] * 100))


def test_buckets_of_keys_that_are_gone_are_forgotten():
    limits = limited()
    for number in range(5000):
        limits.refuse(key(f"key-{number}"), now_s=float(number))
    assert len(limits._bucket_by_key) <= 1001


def test_a_keys_own_limit_stands_in_place_of_the_workloads():
    for limits in (limited(), KeyLimits(None, None, num_replicas=1)):
        assert admitted(limits, "own", *[0.0] * 6, requests_per_s=4.0, burst_requests=5) == [True] * 5 + [False]
        assert admitted(limits, "fast", *[0.0] * 100, requests_per_s=1e6) == [True] * 100
    assert admitted(KeyLimits(None, None, num_replicas=2), "half", 0, 0, 0, requests_per_s=4.0) == [True, True, False]


def test_a_limit_that_changes_counts_at_once():
    limits = limited()
    assert admitted(limits, "a", *[0.0] * 4) == [True] * 3 + [False]
    assert admitted(limits, "a", *[0.0] * 6, requests_per_s=5.0) == [True] * 5 + [False]
    assert admitted(limits, "a", *[0.0] * 4) == [True] * 3 + [False]


def test_more_replicas_give_each_a_smaller_part_and_fewer_a_larger_one():
    limits = KeyLimits(8.0, 8, num_replicas=1)
    limits.share_among(4)
    assert sum(admitted(limits, "a", *([0.0] * 8))) == 2
    limits.share_among(2)
    assert sum(admitted(limits, "a", *(step / 100 for step in range(1, 1001)))) == pytest.approx(4.0 * 10, abs=1)


def test_what_a_key_has_left_shrinks_with_its_part_and_is_never_refilled_by_a_change():
    limits = KeyLimits(8.0, 8, num_replicas=1)
    assert admitted(limits, "a", *([0.0] * 4)) == [True] * 4  # half is left
    limits.share_among(2)
    assert sum(admitted(limits, "a", *([0.0] * 8))) == 2
    limits.share_among(1)
    assert sum(admitted(limits, "a", *([0.0] * 8))) == 0


def test_a_key_with_a_limit_of_its_own_is_shared_out_too():
    limits = KeyLimits(None, None, num_replicas=1)
    limits.share_among(3)
    assert sum(admitted(limits, "a", *([0.0] * 9), requests_per_s=6.0, burst_requests=6)) == 2


def test_no_replica_at_all_changes_nothing():
    limits = KeyLimits(8.0, 8, num_replicas=2)
    limits.share_among(0)
    assert sum(admitted(limits, "a", *([0.0] * 9))) == 4
