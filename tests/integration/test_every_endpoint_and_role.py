"""Every endpoint that exists, asked by every role: what needs a key has one checked, and nothing is forgotten."""

import asyncio

import pytest

from heliostat.govern.roles import Role, is_allowed
from tests.integration.predictor_fixture import ROLES, make_bundle, record, serving
from tests.toy import workload

OPEN = {
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/{model}/ready",
    "/v2/models/{model}/versions/{version}/ready",
}
PARAMETERS = {"model": "toy", "version": "1", "id": "018df74f-8400-7968-995a-8cdb5b9220a3"}


@pytest.fixture(scope="module")
def statuses(tmp_path_factory):
    """(endpoint, role) and the status that it got; the role is None without a key, "wrong" with a key of nobody."""
    home = tmp_path_factory.mktemp("roles")
    bundles = {1: make_bundle(home, "tests.toy", seed=1)}

    async def scenario():
        found = {}
        async with serving(workload, home, record(bundles)) as served:
            router = served.app._router
            endpoints = [*router._exact.values(), *(endpoint for _, endpoint in router._patterns)]
            for role in (None, "wrong", *ROLES):
                async with served.client(role) as client:
                    for one in endpoints:
                        response = await client.request(one.method, one.path.format(**PARAMETERS))
                        found[one.method, one.path, one.action, role] = response.status_code
        return found

    return asyncio.run(scenario())


def test_only_health_needs_no_key(statuses):
    assert {path for _, path, action, _ in statuses if action is None} == OPEN
    assert {status for (_, path, _, _), status in statuses.items() if path in OPEN} == {200}


def test_without_a_known_key_everything_else_is_refused(statuses):
    nobodys = {key: status for key, status in statuses.items() if key[3] in (None, "wrong")}
    assert {status for (_, path, _, _), status in nobodys.items() if path not in OPEN} == {401}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_gets_exactly_what_its_actions_allow(statuses, role):
    asked = {key[:3]: status for key, status in statuses.items() if key[3] == role and key[1] not in OPEN}
    assert len(asked) >= 12
    for (method, path, action), status in asked.items():
        if is_allowed(Role.parse(role), action):
            assert status not in (401, 403, 500), (method, path)
        else:
            assert status == 403, (method, path)


def test_steering_is_for_operators_and_predicting_for_callers(statuses):
    smallest = {path: action.smallest_role for method, path, action, _ in statuses if action and method == "POST"}
    steering = {"/v1/promote", "/v1/rollback", "/v1/hold"}
    assert {path for path, role in smallest.items() if role == Role.OPERATOR} == steering
    assert {path for path, role in smallest.items() if role == Role.ADMIN} == {"/v1/keys"}
    assert {role for path, role in smallest.items() if path not in steering | {"/v1/keys"}} == {Role.CALLER}
