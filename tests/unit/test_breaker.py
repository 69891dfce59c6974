from heliostat.serving.breaker import FIRST_REST_S, LONGEST_REST_S, MAX_FAILURES, Breaker


def after_failures(number, *, now_s=0.0, breaker=None):
    breaker = breaker or Breaker()
    for _ in range(number):
        breaker = breaker.failed(now_s)
    return breaker


OPEN = after_failures(MAX_FAILURES)


def test_it_opens_at_the_last_of_the_failures_in_a_row():
    almost = after_failures(MAX_FAILURES - 1)
    assert (almost.state(0), almost.allows(0)) == ("closed", True)
    assert (OPEN.state(0), OPEN.allows(0)) == ("open", False)


def test_one_success_forgets_the_failures_before_it():
    breaker = after_failures(MAX_FAILURES - 1).succeeded()
    assert after_failures(MAX_FAILURES - 1, breaker=breaker).state(0) == "closed"


def test_after_its_rest_one_batch_may_try_and_only_one():
    assert not OPEN.allows(FIRST_REST_S - 0.01)
    assert OPEN.state(FIRST_REST_S) == "half-open"
    assert OPEN.allows(FIRST_REST_S)
    assert not OPEN.tried(FIRST_REST_S).allows(FIRST_REST_S)


def test_a_try_that_succeeds_closes_it():
    assert OPEN.tried(FIRST_REST_S).succeeded() == Breaker()


def test_a_try_that_fails_opens_it_at_once_for_twice_as_long():
    again = OPEN.tried(FIRST_REST_S).failed(FIRST_REST_S)
    assert not again.allows(FIRST_REST_S + 2 * FIRST_REST_S - 0.01)
    assert again.allows(FIRST_REST_S + 2 * FIRST_REST_S)


def test_no_rest_is_longer_than_the_longest():
    breaker, now_s = OPEN, 0.0
    for _ in range(20):
        now_s = breaker.rests_until_s
        breaker = breaker.tried(now_s).failed(now_s)
    assert breaker.rests_until_s - now_s == LONGEST_REST_S


def test_while_closed_a_try_changes_nothing():
    assert Breaker().tried(0.0) == Breaker()
