"""One application out of many declarations: the largest limits, the newest platform, the first package that held it."""

from datetime import UTC, datetime, timedelta

from cluster import names
from cluster.pooling import is_member, pooled
from heliostat.records import Application

START = datetime(2024, 1, 1, tzinfo=UTC)
KEYS = [{"key_id": "k"}]


def member(name, *, hour=0, package="one", platform="p1", num_replicas=1, max_loaded_models=10, max_loaded_mib=64.0):
    brought = {
        "declaration": {"uri": f"file:///{name}", "hash": name},
        "platform": platform,
        "num_replicas": num_replicas,
        "max_loaded_models": max_loaded_models,
        "max_loaded_mib": max_loaded_mib,
    }
    config = {
        "name": names.POOL,
        "route_prefix": "/",
        "runtime_env": {"working_dir": package},
        "deployments": [{"name": "Pool"}],
        "pool": brought,
    }
    return Application(workload=name, config=config, revision=1, at=START + timedelta(hours=hour))


def made(*members):
    routes = {each.workload: {"epoch": 1, "champion": 1, "bundles": {}} for each in members}
    return pooled(list(members), routes=routes, keys=KEYS)


def test_every_workload_is_in_the_record_with_its_route_and_its_declaration():
    record = made(member("b"), member("a"))["deployments"][0]["user_config"]
    assert list(record["workloads"]) == ["a", "b"]
    expected = {"epoch": 1, "champion": 1, "bundles": {}, "declaration": {"uri": "file:///a", "hash": "a"}}
    assert record["workloads"]["a"] == expected
    assert record["keys"] == KEYS


def test_of_limits_and_replicas_the_largest_count():
    application = made(member("a", num_replicas=3), member("b", max_loaded_models=50, max_loaded_mib=1.0))
    (deployment,) = application["deployments"]
    assert deployment["num_replicas"] == 3
    assert deployment["user_config"]["limits"] == {
        "num_replicas": 3,
        "max_loaded_models": 50,
        "max_loaded_mib": 64.0,
    }


def test_a_workload_added_from_another_package_with_the_same_platform_moves_no_process():
    before = made(member("a", package="one"))
    after = made(member("a", package="one"), member("b", hour=1, package="two"))
    assert before["runtime_env"] == after["runtime_env"] == {"working_dir": "one"}


def test_a_changed_platform_is_put_in_place_for_all():
    after = made(member("a", package="one"), member("b", hour=1, package="two", platform="p2"))
    assert after["runtime_env"] == {"working_dir": "two"}


def test_what_serve_does_not_know_is_not_declared_to_it():
    declared = member("a")
    assert is_member(declared)
    assert not is_member(Application(workload="c", config={"name": "c"}, revision=1, at=START))
    assert made(declared).keys() == {"name", "route_prefix", "runtime_env", "deployments"}
