"""Many workloads on one cluster: what is deployed, promoted or killed in one never shows in another's traffic."""

import http.client
import json
import os
import signal
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from heliostat.records import BundleRef, KeyTerms
from heliostat.serving.generated import open_inference_pb2 as pb
from heliostat.store.catalog import Catalog
from jobs import status
from tests.cluster.conftest import Installation
from tests.integration.predictor_fixture import ROW, make_bundle

OWN, POOLED, LATER, ASKS = "toy-alone", "toy-pool-a", "toy-pool-b", "toy-asks"
MODULES = {OWN: "tests.toy_alone", POOLED: "tests.toy_pool_a", LATER: "tests.toy_pool_b", ASKS: "tests.toy_asks"}
NOWHERE = BundleRef(uri="/nowhere/at/all", hash="0")


@dataclass
class Many:
    """One cluster's workloads, as their callers see them."""

    installation: Installation
    catalog: Catalog
    bundle: BundleRef
    home: Path

    def request(self, path, document=None, *, key=None, role="admin"):
        connection = http.client.HTTPConnection("127.0.0.1", self.installation.settings.ports.http, timeout=60)
        headers = {
            "Authorization": f"Bearer {key or self.installation.key(role)}",
            "Content-Type": "application/json",
        }
        body = None if document is None else json.dumps(document)
        connection.request("GET" if body is None else "POST", path, body=body, headers=headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        # Serve's own proxy says in plain text that no replica came up in time.
        is_json = "json" in response.headers.get("Content-Type", "")
        return response.status, json.loads(text) if is_json else text

    def ask(self, name, **how):
        return self.request(f"/{name}/v1/predict", {"rows": [ROW]}, **how)

    def ask_grpc(self, name, *, key=None, metadata=()):
        """The probability of one row, asked by gRPC; the call says nothing but the model's name."""
        request = pb.ModelInferRequest(model_name=name)
        for column, value in ROW.items():
            tensor = request.inputs.add(name=column, shape=[1])
            if isinstance(value, str):
                tensor.datatype = "BYTES"
                tensor.contents.bytes_contents.append(value.encode())
            else:
                tensor.datatype = "FP64"
                tensor.contents.fp64_contents.append(value)
        secret = [("authorization", f"Bearer {key or self.installation.key('caller')}"), *metadata]
        with grpc.insecure_channel(f"127.0.0.1:{self.installation.settings.ports.grpc}") as channel:
            call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            answer = pb.ModelInferResponse.FromString(call(request.SerializeToString(), metadata=secret, timeout=30))
        (output,) = (each for each in answer.outputs if each.name == "probability")
        return output.contents.fp64_contents[0]

    def register(self, name, bundle):
        return self.catalog.register(
            name,
            run_id=f"{name}-{time.time_ns()}",
            candidate="all",
            kind="network",
            bundle_uri=bundle.uri,
            bundle_hash=bundle.hash,
            lineage={},
            scores={},
            by="test",
            at=datetime.now(UTC),
        )

    def promote(self, name, bundle):
        version = self.register(name, bundle)
        answer = self.request(f"/{name}/v1/promote", {"version": version})
        assert answer[0] == 200, answer
        return version

    def traffic(self, *names):
        return Traffic(self, names)


class Traffic:
    """Asks workloads one after the other until the block ends; then every answer was one."""

    def __init__(self, many, names):
        self._many, self._names, self._is_over = many, names, threading.Event()
        self.bad, self.num_asked = [], 0
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._is_over.wait(0.02):
            for name in self._names:
                found = self._many.ask(name)
                self.num_asked += 1
                if found[0] != 200 or found[1]["degraded"]:
                    self.bad.append((name, found))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()
        assert self.bad == []
        assert self.num_asked > 20


@pytest.fixture(scope="module")
def many(installation, tmp_path_factory):
    jobs = [installation.start_job("deploy", MODULES[name], "--clock", "replayed") for name in (OWN, POOLED)]
    home = tmp_path_factory.mktemp("bundles")
    bundle = make_bundle(home, "tests.toy", seed=1)
    for job in jobs:
        installation.result(job)
    made = Many(installation, Catalog(installation.settings.catalog_url), bundle, home)
    for name in (OWN, POOLED):
        assert made.promote(name, bundle) == 1
    return made


@pytest.mark.ray
def test_a_workload_deployed_beside_others_costs_them_no_request(many):
    (pool_pid,) = many.installation.pids("ray::ServeReplica:small.models")
    with many.traffic(OWN, POOLED):
        jobs = [many.installation.start_job("deploy", MODULES[name], "--clock", "replayed") for name in (LATER, ASKS)]
        for job in jobs:
            many.installation.result(job)
        assert many.ask(LATER)[0] == 503  # it has no version yet
        many.promote(LATER, many.bundle)
        assert many.ask(LATER)[1]["model_version"] == 1
    assert many.installation.pids("ray::ServeReplica:small.models") == [pool_pid]


@pytest.mark.ray
def test_a_workload_asks_one_with_replicas_of_its_own_and_one_in_the_pool(many):
    assert many.ask(ASKS)[0] == 503  # deployed above, without a version: its own answer, not the ingress's 404
    many.promote(ASKS, make_bundle(many.home, "tests.toy", seed=2))
    whole = many.ask(ASKS)[1]
    assert (whole["degraded"], whole["degraded_reason"]) == (False, None)
    others = [many.ask(name)[1]["predictions"][0] for name in (OWN, POOLED)]
    assert others[0] == pytest.approx(others[1])  # the same bundle
    own = 3 * whole["predictions"][0] - sum(others)
    assert 0 < own < 1
    assert own != pytest.approx(others[0], abs=1e-4)


def cache_metrics(many, name):
    """What Ray's endpoint of the node says of a workload's cache: of each metric the sum over replicas."""
    told = urllib.request.urlopen(f"http://127.0.0.1:{many.installation.settings.ports.metrics_export}", timeout=10)
    found = Counter()
    for family in text_string_to_metric_families(told.read().decode()):
        for sample in family.samples:
            if sample.name.startswith("ray_heliostat_cache") and sample.labels["workload"] == name:
                found[sample.name.removeprefix("ray_heliostat_cache_")] += int(sample.value)
    return found


@pytest.mark.ray
@pytest.mark.parametrize("name", [LATER, ASKS])
def test_hits_of_the_answer_cache_are_counted_for_prometheus(many, wait_until, name):
    """In the pool, and in replicas of its own."""
    row = {**ROW, "load_percent": 12.345}
    before = many.request(f"/{name}/v1/status")[1]["cache"]
    for _ in range(3):
        assert many.request(f"/{name}/v1/predict", {"rows": [row]})[0] == 200
    rows, hits = before["num_rows"] + 3, before["num_hits"] + 2
    wait_until(lambda: cache_metrics(many, name) >= Counter(rows_total=rows, hit_rows_total=hits), 60)
    assert cache_metrics(many, name)["hit_rows_total"] == hits
    assert cache_metrics(many, name)["entries"] == before["num_entries"] + 1


@pytest.mark.ray
def test_grpc_reaches_a_pooled_workload_and_one_with_replicas_of_its_own_by_the_models_name(many):
    for name in (OWN, POOLED, LATER):
        assert many.ask_grpc(name) == pytest.approx(many.ask(name)[1]["predictions"][0])
    with pytest.raises(grpc.RpcError) as nobody:
        many.ask_grpc("nobody")
    assert nobody.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as stranger:
        many.ask_grpc(POOLED, key="hel_wrong")
    assert stranger.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.ray
def test_a_key_gets_its_allowance_from_all_replicas_together(many, wait_until):
    """Two replicas of a workload that scales: each gives a half."""
    own = many.catalog.create_key(
        "limited",
        "caller",
        workload=OWN,
        terms=KeyTerms(requests_per_s=1.0, burst_requests=40),
        by="test",
        at=datetime.now(UTC),
    )
    many.promote(OWN, many.bundle)  # publishes the key
    wait_until(lambda: len(many.installation.pids(f"ray::ServeReplica:{OWN}")) == 2, 60)
    time.sleep(5)  # each asks every two seconds
    statuses = Counter(many.ask(OWN, key=own)[0] for _ in range(100))
    assert set(statuses) == {200, 429}
    assert 20 <= statuses[200] <= 60  # one burst of 40 and a few seconds' worth; unshared it would be 80


@pytest.mark.ray
def test_a_version_that_cannot_be_loaded_disturbs_nobody(many):
    lost = many.register(LATER, NOWHERE)
    with many.traffic(OWN, POOLED, LATER):
        answer = many.request(f"/{LATER}/v1/promote", {"version": lost})
        assert (answer[0], "cannot be loaded" in answer[1]["detail"]) == (409, True)
        # As if it was lost after it was promoted; the other workload's promotion tells every replica.
        now = datetime.now(UTC)
        many.catalog.promote(LATER, lost, reasons=(), inputs={"clock": now.isoformat()}, by="test", at=now)
        newest = many.promote(OWN, many.bundle)
    assert many.request(f"/{LATER}/v1/status")[1]["last_error"] is not None
    assert many.ask(LATER)[1]["model_version"] == 1
    assert many.ask(OWN)[1]["model_version"] == newest


@pytest.mark.ray
def test_killed_replicas_of_one_are_not_felt_in_another(many, wait_until):
    with many.traffic(POOLED, LATER):
        for pid in many.installation.pids(f"ray::ServeReplica:{OWN}"):
            os.kill(pid, signal.SIGKILL)
        time.sleep(2)
    wait_until(lambda: many.ask(OWN)[0] == 200, 240)  # a new process imports torch first, on a busy machine for long


@pytest.mark.ray
def test_each_has_its_own_keys_and_steward_and_all_are_in_the_status(many, wait_until):
    own = many.catalog.create_key("own", "operator", workload=POOLED, by="test", at=datetime.now(UTC))
    many.promote(POOLED, many.bundle)  # publishes the key too
    assert many.ask(POOLED, key=own)[0] == 200
    assert many.ask(LATER, key=own)[0] == 401
    assert many.ask(OWN, key=own)[0] == 401
    for name in MODULES:
        # On a busy machine a steward may need more than the second that a status waits for it.
        wait_until(lambda name=name: many.request(f"/{name}/v1/status")[1]["loop"].get("phase") == "idle", 20)
    shown = "\n".join(status.lines(many.installation.settings))
    for name in MODULES:
        assert f"/{name}: champion" in shown
    assert many.request("/nobody/v1/status")[0] == 404
