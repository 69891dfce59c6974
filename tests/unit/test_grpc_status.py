import pytest

from heliostat.errors import ContractError, HeliostatError, NotFoundError
from heliostat.serving import problem
from heliostat.serving.grpc_status import MAX_DETAIL_BYTES, code_of, detail_of, timeout_s, trailers_of
from heliostat.serving.problem import (
    ExpiredError,
    ForbiddenError,
    MalformedError,
    OverloadedError,
    RateLimitError,
    TooLargeError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MalformedError("no"), "INVALID_ARGUMENT"),
        (ContractError("no"), "INVALID_ARGUMENT"),
        (TooLargeError("no"), "INVALID_ARGUMENT"),
        (ForbiddenError("no"), "PERMISSION_DENIED"),
        (NotFoundError("no"), "NOT_FOUND"),
        (RateLimitError("no"), "RESOURCE_EXHAUSTED"),
        (OverloadedError("no"), "UNAVAILABLE"),
        (ExpiredError("no"), "DEADLINE_EXCEEDED"),
        (HeliostatError("ours"), "INTERNAL"),
    ],
)
def test_every_error_has_its_status(error, code):
    assert code_of(problem.of(error), error) == code


def test_the_deadline_counts_and_the_shorter_of_two_limits():
    assert timeout_s(None, None, default_s=30.0) == 30.0
    assert timeout_s("500m", None, default_s=30.0) == 0.5
    assert timeout_s("2M", None, default_s=30.0) == 120.0
    assert timeout_s("10S", "3", default_s=30.0) == 3.0
    assert timeout_s("10S", "90", default_s=30.0) == 10.0
    assert timeout_s(None, "90", default_s=30.0) == 90.0


def test_a_deadline_of_hours_is_as_long_as_any_request_may_take():
    assert timeout_s("99999999H", None, default_s=30.0) == 600.0


@pytest.mark.parametrize("deadline", ["", "5", "S", "-1S", "1.5S", "123456789S", "1h", "1 S"])
def test_what_is_no_deadline_is_told(deadline):
    with pytest.raises(MalformedError, match="up to 8 digits"):
        timeout_s(deadline, None, default_s=30.0)


def test_when_to_try_again_is_said_in_the_words_of_both_protocols():
    found = problem.of(OverloadedError.retry_after("full", 2.1))
    assert trailers_of(found) == [("retry-after", "3"), ("grpc-retry-pushback-ms", "3000")]
    assert trailers_of(problem.of(MalformedError("no"))) == []


def test_a_sentence_is_cut_to_what_trailers_carry_and_stays_text():
    sentence = detail_of(problem.of(MalformedError("é" * 5000)))
    assert len(sentence.encode()) <= MAX_DETAIL_BYTES
    assert set(sentence) == {"é"}
