import pytest

from heliostat.errors import ContractError
from heliostat.records import Route
from heliostat.serving.routing import arm, arm_of, route_of, version_of, versions

KEYS = [f"key-{number}" for number in range(4000)]


def canary(share, candidate=2):
    return Route(epoch=3, champion=1, candidate=candidate, share=share)


def test_without_a_candidate_the_champion_answers():
    assert arm(Route(epoch=1, champion=1, share=0.5), "k") == "champion"


def test_a_key_stays_with_its_arm():
    route = canary(0.5)
    assert [arm(route, key) for key in KEYS] == [arm(route, key) for key in KEYS]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_the_candidate_gets_its_share_of_the_keys(share):
    found = sum(arm(canary(share), key) == "candidate" for key in KEYS) / len(KEYS)
    assert abs(found - share) < 0.03


def test_a_larger_share_keeps_the_keys_of_a_smaller_one():
    small = {key for key in KEYS if arm(canary(0.2), key) == "candidate"}
    large = {key for key in KEYS if arm(canary(0.6), key) == "candidate"}
    assert small < large


def test_each_candidate_gets_other_keys():
    second = {key for key in KEYS if arm(canary(0.2), key) == "candidate"}
    third = {key for key in KEYS if arm(canary(0.2, candidate=3), key) == "candidate"}
    assert len(second & third) < len(second) / 2


def test_share_0_is_nobody_and_share_1_is_everybody():
    assert {arm(canary(0.0), key) for key in KEYS} == {"champion"}
    assert {arm(canary(1.0), key) for key in KEYS} == {"candidate"}


def test_a_route_is_read_from_a_record_with_more_in_it():
    record = {"epoch": "4", "champion": 7, "candidate": None, "previous": 6, "share": None, "keys": [], "bundles": {}}
    route = route_of(record)
    assert route == Route(epoch=4, champion=7, previous=6)
    assert versions(route) == {6, 7}


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_an_impossible_share_is_refused(share):
    with pytest.raises(ContractError, match="between 0 and 1"):
        route_of({"epoch": 1, "champion": 1, "candidate": 2, "share": share})


def test_a_candidate_without_a_champion_is_refused():
    with pytest.raises(ContractError, match="no champion"):
        route_of({"epoch": 1, "candidate": 2, "share": 0.1})


def test_a_version_that_is_named_is_logged_under_its_arm():
    route = Route(epoch=1, champion=3, candidate=4, previous=2, share=0.1)
    assert [arm_of(route, version) for version in (3, 4, 2)] == ["champion", "candidate", "previous"]
    assert [version_of(route, which) for which in ("champion", "candidate", "previous")] == [3, 4, 2]
