"""The Serve application that many workloads share, made from what each of them declares."""

from collections.abc import Mapping
from typing import Any

from cluster import names
from cluster.applications import Application
from heliostat.records import Application as Declared

# In the configuration of a workload's application: what it brings to the pool, the workloads that it asks, and its
# label, by which others know whether they can ask it. Serve is told none of these.
MEMBER, ASKS, LABEL = "pool", "asks", "label"
OWN = frozenset({MEMBER, ASKS, LABEL})


def is_member(declared: Declared) -> bool:
    """Whether the workload is answered by the pool."""
    return MEMBER in declared.config


def workloads(application: Application) -> list[str]:
    """The workloads that a declared Serve application answers for."""
    if application["name"] != names.POOL:
        return [str(application["name"])]
    return [str(name) for name in application["deployments"][0]["user_config"]["workloads"]]


def pooled(members: list[Declared], *, routes: Mapping[str, Mapping[str, Any]], keys: list[Any]) -> Application:
    """The pool with these workloads (at least one), their routing records and all keys.

    It runs the newest platform code, in the first package that held it: a new file of some workload then moves no
    process, because the declarations themselves travel as bundles.
    """
    newest = max(members, key=lambda each: each.at)
    same = [each for each in members if each.config[MEMBER]["platform"] == newest.config[MEMBER]["platform"]]
    config = min(same, key=lambda each: each.at).config
    asked = [each.config[MEMBER] for each in members]
    names_of_limits = ("num_replicas", "max_loaded_models", "max_loaded_mib")
    limits = {name: max(each[name] for each in asked) for name in names_of_limits}
    record = {
        "limits": limits,
        "keys": keys,
        "workloads": {
            each.workload: {"declaration": each.config[MEMBER]["declaration"], **routes[each.workload]}
            for each in sorted(members, key=lambda each: each.workload)
        },
    }
    (deployment,) = config["deployments"]
    return {
        **{name: value for name, value in config.items() if name not in OWN},
        "name": names.POOL,
        "deployments": [deployment | {"num_replicas": limits["num_replicas"], "user_config": record}],
    }
