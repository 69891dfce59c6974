"""Keys over HTTP: made, limited, restricted, listed and revoked by admins, with a real catalog behind them."""

import pytest

from tests.integration.predictor_fixture import ROW, make_bundle, record, run, serving
from tests.toy import workload


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    return {1: make_bundle(tmp_path_factory.mktemp("keys"), "tests.toy", seed=1)}


def asking(bundles, home, scenario):
    async def whole():
        async with serving(workload, home, record(bundles)) as served, served.client("admin") as admin:
            await scenario(served, admin)

    run(whole)


async def made(admin, **asked):
    response = await admin.post("/v1/keys", json={"name": "app", "role": "caller", **asked})
    assert response.status_code == 201, response.text
    return response.json()


async def statuses(served, key, path, body, num_times=1):
    headers = {"Authorization": f"Bearer {key}"}
    async with served.client(None, **headers) as client:
        return [(await client.post(path, json=body)).status_code for _ in range(num_times)]


PREDICT = "/v1/predict", {"rows": [ROW]}
LABELS = "/v1/labels", {"labels": [{"key": "r-1", "value": 1}]}


def test_a_key_is_made_counts_and_is_revoked(bundles, tmp_path):
    async def scenario(served, admin):
        key = await made(admin)
        assert await statuses(served, key["key"], *PREDICT) == [200]
        (listed,) = (await admin.get("/v1/keys")).json()["keys"]
        assert listed == {name: value for name, value in key.items() if name != "key"}
        assert (listed["workload"], listed["key_id"]) == ("toy", key["key"].split("_")[1])
        for _ in range(2):
            revoked = await admin.delete(f"/v1/keys/{key['key_id']}")
            assert (revoked.status_code, revoked.json()) == (200, {"key_id": key["key_id"], "revoked": True})
        assert await statuses(served, key["key"], *PREDICT) == [401]
        assert (await admin.get("/v1/keys")).json() == {"keys": []}
        journal = [(entry.kind, entry.by) for entry in served.steering.catalog.entries()]
        assert journal == [("key_created", "admin-key"), ("key_revoked", "admin-key")]

    asking(bundles, tmp_path, scenario)


def test_a_secret_is_shown_once_and_not_kept_by_anybody_between(bundles, tmp_path):
    async def scenario(served, admin):
        response = await admin.post("/v1/keys", json={"name": "app", "role": "viewer"})
        assert response.headers["cache-control"] == "no-store"
        secret = response.json()["key"].split("_")[2]
        assert secret not in (await admin.get("/v1/keys")).text
        assert "hash" not in (await admin.get("/v1/keys")).text

    asking(bundles, tmp_path, scenario)


def test_a_keys_own_limit_overrides_the_workloads(bundles, tmp_path):
    async def scenario(served, admin):
        slow = await made(admin, requests_per_s=0.02, burst_requests=6)
        free = await made(admin)
        # Two replicas: this one gives half of the burst.
        assert await statuses(served, slow["key"], *PREDICT, num_times=5) == [200, 200, 200, 429, 429]
        assert await statuses(served, free["key"], *PREDICT, num_times=5) == [200] * 5

    asking(bundles, tmp_path, scenario)


def test_who_may_send_labels_can_be_set_on_the_key(bundles, tmp_path):
    async def scenario(served, admin):
        usual, mute = await made(admin), await made(admin, may_label=False)
        labeller = await made(admin, role="viewer", may_label=True)
        viewer = await made(admin, role="viewer")
        found = [await statuses(served, each["key"], *LABELS) for each in (usual, mute, labeller, viewer)]
        assert found == [[200], [403], [200], [403]]
        found = [await statuses(served, each["key"], *PREDICT) for each in (usual, mute, labeller)]
        assert found == [[200], [200], [403]]

    asking(bundles, tmp_path, scenario)


def test_a_repeated_request_makes_one_key(bundles, tmp_path):
    async def scenario(served, admin):
        headers = {"X-Request-Id": "made-once"}
        body = {"name": "app", "role": "caller"}
        lost, told = [(await admin.post("/v1/keys", json=body, headers=headers)).json() for _ in range(2)]
        assert lost["key_id"] == told["key_id"]
        assert len((await admin.get("/v1/keys")).json()["keys"]) == 1
        assert await statuses(served, told["key"], *PREDICT) == [200]
        assert await statuses(served, lost["key"], *PREDICT) == [401]

    asking(bundles, tmp_path, scenario)


def test_an_admin_of_one_workload_manages_its_keys_only(bundles, tmp_path):
    async def scenario(served, admin):
        own = await made(admin, role="admin")
        for_all = await made(admin, all_workloads=True)
        assert for_all["workload"] is None
        async with served.client(None, Authorization=f"Bearer {own['key']}") as bound:
            more = await bound.post("/v1/keys", json={"name": "more", "role": "caller", "all_workloads": True})
            assert (more.status_code, "one for all" in more.json()["detail"]) == (403, True)
            assert (await bound.delete(f"/v1/keys/{for_all['key_id']}")).status_code == 403
            mine = await bound.post("/v1/keys", json={"name": "mine", "role": "caller"})
            assert mine.json()["workload"] == "toy"
            assert (await bound.delete(f"/v1/keys/{mine.json()['key_id']}")).status_code == 200

    asking(bundles, tmp_path, scenario)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ([], 400, "A key looks like"),
        ({"name": "x"}, 400, "A key looks like"),
        ({"name": "x", "role": "caller", "colour": 1}, 400, "'colour'"),
        ({"name": 3, "role": "caller"}, 400, "name must be"),
        ({"name": "x", "role": "king"}, 422, "viewer, caller, operator, admin; got 'king'"),
        ({"name": "", "role": "caller"}, 422, "name must be 1 to 100"),
        ({"name": "a\nb", "role": "caller"}, 422, "printable"),
        ({"name": "x" * 101, "role": "caller"}, 422, "name must be 1 to 100"),
        ({"name": "x", "role": "caller", "requests_per_s": "fast"}, 400, "requests_per_s must be"),
        ({"name": "x", "role": "caller", "requests_per_s": True}, 400, "requests_per_s must be"),
        ({"name": "x", "role": "caller", "requests_per_s": -1}, 422, "above 0"),
        ({"name": "x", "role": "caller", "burst_requests": 5}, 422, "needs requests_per_s"),
        ({"name": "x", "role": "caller", "may_label": "yes"}, 400, "may_label"),
    ],
)
def test_a_key_that_cannot_be_made_is_told_why(bundles, tmp_path, body, status, words):
    async def scenario(served, admin):
        response = await admin.post("/v1/keys", json=body)
        assert (response.status_code, words in response.json()["detail"]) == (status, True), response.text
        assert (await admin.get("/v1/keys")).json() == {"keys": []}

    asking(bundles, tmp_path, scenario)


def test_an_unknown_key_is_not_found(bundles, tmp_path):
    async def scenario(_, admin):
        assert (await admin.delete("/v1/keys/nobody")).status_code == 404

    asking(bundles, tmp_path, scenario)
