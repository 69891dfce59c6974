import json
import pickle

import pytest

from heliostat import errors
from heliostat.serving import problem


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (problem.MalformedError("x"), 400),
        (errors.AccessError("x"), 401),
        (problem.ForbiddenError("x"), 403),
        (errors.NotFoundError("x"), 404),
        (problem.MethodError("x"), 405),
        (errors.FencedError("x"), 409),
        (errors.CatalogError("x"), 409),
        (problem.TooLargeError("x"), 413),
        (problem.MediaTypeError("x"), 415),
        (errors.ContractError("x"), 422),
        (problem.SlowBodyError("x"), 408),
        (problem.RateLimitError("x"), 429),
        (problem.UnavailableError("x"), 503),
        (problem.OverloadedError("x"), 503),
        (problem.ExpiredError("x"), 503),
        (errors.LakeError("x"), 503),
        (errors.ClusterError("x"), 503),
        (errors.LostCallError("x"), 503),
    ],
)
def test_each_error_has_its_status(error, status):
    assert problem.of(error).status == status


def test_the_document_is_the_one_of_rfc_9457():
    body = problem.of(errors.ContractError("row 0: column 'load' must be a number; got 'x'")).body(instance="r-1")
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "row 0: column 'load' must be a number; got 'x'",
        "error": "row 0: column 'load' must be a number; got 'x'",
        "instance": "r-1",
    }


def test_an_error_of_ours_says_nothing_about_the_inside():
    found = problem.of(errors.BundleError("/secret/path is damaged"))
    assert found.status == 500
    assert "secret" not in found.detail


def test_headers_tell_the_caller_what_to_do():
    assert problem.of(errors.AccessError("x")).headers["WWW-Authenticate"].startswith("Bearer")
    assert problem.of(problem.UnavailableError("x")).headers["Retry-After"] == "1"


@pytest.mark.parametrize(("wait_s", "header"), [(0.0, "1"), (0.2, "1"), (2.1, "3")])
def test_who_should_come_later_is_told_when(wait_s, header):
    error = pickle.loads(pickle.dumps(problem.RateLimitError.retry_after("x", wait_s)))
    assert problem.of(error).headers == {"Retry-After": header}
