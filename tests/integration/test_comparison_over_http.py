"""`GET v1/comparison`: what `jobs.compare` says of two versions, for whoever has a key."""

from datetime import timedelta

import numpy as np
import pytest

from heliostat.settings import Settings
from heliostat.store.lake import Lake
from tests.integration.predictor_fixture import make_bundle, record, run, serving
from tests.stage import START
from tests.toy import workload
from tests.toy_lake import answer, rows_of, shadow, tell

ROWS = rows_of(since=START, until=START + timedelta(days=4))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Version 1 answered; version 2 was asked beside it and says nearly the same, but of site beta."""
    home = tmp_path_factory.mktemp("comparison")
    lake, random = Lake(Settings(home=home).lake_uri), np.random.default_rng(0)
    theirs = random.uniform(0.05, 0.95, ROWS.num_rows)
    is_beta = np.array([site == "beta" for site in ROWS["site"].to_pylist()])
    answer(lake, ROWS, probability=theirs)
    shadow(lake, ROWS, probability=np.clip(theirs + 0.3 * is_beta, 0, 1), latency_ms=3.0, answer_latency_ms=1.0)
    tell(lake, ROWS)
    return home


@pytest.fixture(scope="module")
def bundles(home):
    return {1: make_bundle(home, "tests.toy", seed=1)}


def asked(home, bundles, query, *, role="viewer", trained_until=None):
    answers = []

    async def scenario():
        async with serving(workload, home, record(bundles)) as served, served.client(role) as client:
            if trained_until is not None:
                registered(served.steering.catalog, trained_until)
            answers.append(await client.get(f"/v1/comparison{query}"))

    run(scenario)
    return answers[0]


def registered(catalog, as_of):
    """Two versions that were trained until then."""
    made = {"kind": "network", "bundle_uri": "b", "bundle_hash": "h", "scores": {}}
    for name in ("first", "second"):
        named = {"run_id": "r", "candidate": name, "lineage": {"as_of": as_of.isoformat()}}
        catalog.register("toy", by="test", at=as_of, **named, **made)


def test_it_says_where_two_versions_differ(home, bundles):
    found = asked(home, bundles, "?version=2&against=1&since=2024-01-01T00:00:00Z").json()
    assert (found["version"], found["against"], found["num_compared"]) == (2, 1, ROWS.num_rows)
    assert found["own_ms"]["p50"] == pytest.approx(3 * found["other_ms"]["p50"])
    assert found["losses"]["num_rows"] > 0
    most_apart = max(found["slices"], key=lambda part: part["distance"])
    assert (most_apart["column"], most_apart["value"]) == ("site", "beta")


def test_rows_from_before_its_training_are_left_out_unless_asked_for(home, bundles):
    later = asked(home, bundles, "?version=2", trained_until=START + timedelta(days=2)).json()
    assert 0 < later["num_compared"] < ROWS.num_rows


def test_an_end_leaves_later_rows_out(home, bundles):
    until = (START + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    found = asked(home, bundles, f"?version=2&since=2024-01-01T00:00:00Z&until={until}").json()
    assert 0 < found["num_answered"] < ROWS.num_rows


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("", 404, "No version of 'toy' was on trial yet"),
        ("?version=7&since=2024-01-01T00:00:00Z", 404, "No live row was scored by version 7"),
        ("?version=2&against=9&since=2024-01-01T00:00:00Z", 404, "beside version 9"),
        ("?version=two", 400, "'version' must be the number of a version; got 'two'"),
        ("?version=%D9%A3", 400, "must be the number of a version"),
        ("?version=" + "9" * 5000, 400, "must be the number of a version"),
        ("?versoin=2", 400, "each once of version, against, since, until"),
        ("?version=2&version=3", 400, "each once of"),
        ("?version=2&since=yesterday", 422, "'since' must be an ISO 8601 instant with a zone"),
    ],
)
def test_what_cannot_be_compared_is_told_with_the_reason(home, bundles, query, status, said):
    answered = asked(home, bundles, query)
    assert (answered.status_code, said in answered.json()["detail"]) == (status, True), answered.text


def test_it_needs_a_key(home, bundles):
    assert asked(home, bundles, "?version=2", role=None).status_code == 401
