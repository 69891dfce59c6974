"""One hundred small models in one replica: memory, throughput, hit rate, cold loads.

    HELIOSTAT_HOME=/tmp/many HELIOSTAT_BASE_PORT=24000 python -m benchmarks.many_models

Starts a cluster of its own, runs itself there as a job, prints a Markdown table, and takes the cluster down. The
workloads are the toy's, each with a declaration, a bundle and weights of its own; they are registered in the catalog
directly, because what is measured is serving.
"""

import asyncio
import importlib
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import numpy as np

from actors import handles, start
from cluster import applications, local, names, pooling, submit
from cluster.connect import connect
from cluster.processes import cluster_pids, command_of
from heliostat.learn import declaration
from heliostat.learn.bundle import to_files
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from heliostat.records import BundleRef
from heliostat.settings import Settings
from heliostat.store.bundles import write_bundle
from tests import toy
from tests.integration.predictor_fixture import ROW
from tests.toy_rows import labelled_rows

NUM_MODELS = 100
NUM_CONNECTIONS = 8
SECONDS = 10.0
ZIPF = 1.1
OWN = "toy-again"
MODULE = """from dataclasses import replace
from heliostat import Pool, Serving
from tests import toy
workload = replace(toy.workload, name="{name}", serving=Serving(num_replicas=1, pool=Pool()))
"""


def pss_mib(pid: int) -> float:
    """Memory of a process, shared pages shared out."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


class Bench:
    """The cluster's catalog and callers, from inside a job."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.catalog = handles.catalog()
        self.names = [f"small-{number:03d}" for number in range(NUM_MODELS)]
        self._package = submit.code_package()
        self._key = self.catalog.create_key("bench", "admin", by="bench", at=datetime.now(UTC))

    def put(self, *, max_loaded_models: int) -> None:
        for name in self.names:
            self.catalog.put_application(name, self._pooled(name, max_loaded_models), by="bench", at=datetime.now(UTC))

    def _pooled(self, name: str, max_loaded_models: int) -> dict[str, object]:
        return {
            "name": names.POOL,
            "route_prefix": "/",
            "import_path": "serve_apps.pool_app:build",
            "runtime_env": {"working_dir": self._package},
            "args": {"home": str(self.settings.home), "base_port": self.settings.base_port},
            "deployments": [{"name": "Pool"}],
            pooling.MEMBER: {
                "declaration": self.declared[name].to_json(),
                "platform": "bench",
                "num_replicas": 1,
                "max_loaded_models": max_loaded_models,
                "max_loaded_mib": 1024.0,
            },
        }

    def put_own(self) -> None:
        config = {
            "name": OWN,
            "route_prefix": f"/{OWN}",
            "import_path": "serve_apps.app:build",
            "runtime_env": {"working_dir": self._package},
            "args": {
                "workload": "tests.toy_again",
                "home": str(self.settings.home),
                "base_port": self.settings.base_port,
            },
            "deployments": [{"name": "Predictor", "num_replicas": 1}],
        }
        self.catalog.put_application(OWN, config, by="bench", at=datetime.now(UTC))

    def write(self) -> None:
        """A declaration for each, and two versions with weights of their own."""
        train, validation = split_by_time(labelled_rows("2024-01", rows_per_part=600), share=0.2)
        fitted = fit(toy.workload, train, validation, seed=1)
        uri = str(self.settings.home / "bundles")
        self.declared: dict[str, BundleRef] = {}
        with tempfile.TemporaryDirectory() as directory:
            sys.path.insert(0, directory)
            for seed, name in enumerate(self.names):
                module = name.replace("-", "_")
                (Path(directory) / f"{module}.py").write_text(MODULE.format(name=name))
                importlib.invalidate_caches()
                self.declared[name] = write_bundle(uri, declaration.to_files(module))
                moved = {key: tensor + 0.01 * seed * tensor.abs() for key, tensor in fitted.weights.items()}
                self._register(name, write_bundle(uri, to_files(module, replace(fitted, weights=moved), **NOTHING)))
            sys.path.remove(directory)
        self._register(OWN, write_bundle(uri, to_files("tests.toy_again", fitted, **NOTHING)))

    def _register(self, name: str, bundle: BundleRef) -> None:
        for run in ("first", "second"):
            version = self.catalog.register(
                name,
                run_id=f"{name}-{run}",
                candidate="all",
                kind="network",
                bundle_uri=bundle.uri,
                bundle_hash=bundle.hash,
                lineage={},
                scores={},
                by="bench",
                at=datetime.now(UTC),
            )
            if run == "first":
                self.promote(name, version)

    def promote(self, name: str, version: int) -> None:
        self.catalog.promote(name, version, reasons=["bench"], inputs={}, by="bench", at=datetime.now(UTC))

    def publish(self, *applications_: str) -> tuple[float, float]:
        """Seconds until Serve was told, and until every replica follows."""
        began_s = time.perf_counter()
        handles.publisher().publish()
        told_s = time.perf_counter() - began_s
        for name in applications_:
            applications.wait_until_running(self.settings, name, timeout_s=180)
        return told_s, time.perf_counter() - began_s

    def pss(self, application: str) -> float:
        (pid,) = [
            pid
            for pid in cluster_pids(self.settings.home)
            if command_of(pid).startswith(f"ray::ServeReplica:{application}")
        ]
        return pss_mib(pid)

    async def load(self, pick: Callable[[], str], *, seconds: float = SECONDS) -> list[float]:
        """The latencies in ms of as many requests as NUM_CONNECTIONS can send in that time."""
        latencies: list[float] = []
        until_s = time.perf_counter() + seconds

        async def caller(session: aiohttp.ClientSession) -> None:
            while time.perf_counter() < until_s:
                latencies.append(await self.ask(session, pick()))

        async with self.session() as session:
            await asyncio.gather(*(caller(session) for _ in range(NUM_CONNECTIONS)))
        return latencies

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers={"Authorization": f"Bearer {self._key}"})

    async def ask(self, session: aiohttp.ClientSession, name: str) -> float:
        began_s = time.perf_counter()
        url = f"{self.settings.http_url}/{name}/v1/predict"
        async with session.post(url, json={"rows": [ROW]}) as response:
            answer = await response.json()
        assert response.status == 200, answer
        assert not answer["degraded"], answer
        return (time.perf_counter() - began_s) * 1000

    async def status(self, name: str) -> dict:
        async with self.session() as session, session.get(f"{self.settings.http_url}/{name}/v1/status") as response:
            return dict(await response.json())

    async def cold(self) -> tuple[list[float], list[float]]:
        """For each model its first answer and the load in it, in ms, one after the other."""
        first, loads = [], []
        async with self.session() as session:
            for name in self.names:
                first.append(await self.ask(session, name))
                loads.append((await self.status(name))["last_load_ms"])
        return first, loads

    async def hits(self) -> tuple[int, int]:
        pool = (await self.status(self.names[0]))["pool"]
        return pool["num_hits"], pool["num_loads"]


NOTHING = {"profile": {}, "lineage": {}}


def line(what: str, measured: str) -> None:
    print(f"| {what} | {measured} |", flush=True)


def quantiles(values: list[float]) -> str:
    p50, p99 = np.percentile(values, [50, 99])
    return f"{p50:.1f} / {p99:.1f} ms"


def spread(names_: list[str]) -> tuple[Callable[[], str], Callable[[], str]]:
    """Picks a name: each as often as any other, or the first ones most (Zipf)."""
    chance = random.Random(0)
    weights = [1 / (rank + 1) ** ZIPF for rank in range(len(names_))]
    return lambda: chance.choice(names_), lambda: chance.choices(names_, weights)[0]


def inside(settings: Settings) -> None:
    connect(settings)
    start.catalog(settings, revision=submit.code_revision(submit.code_package()))
    bench = Bench(settings)
    bench.write()
    bench.put(max_loaded_models=NUM_MODELS)
    bench.put_own()
    print("| what | measured |\n|---|---|", flush=True)
    told_s, forced_s = bench.publish(names.POOL, OWN)
    line(
        f"{NUM_MODELS} workloads published the first time (Serve starts): told / in force",
        f"{told_s:.1f} / {forced_s:.1f} s",
    )
    asyncio.run(measured(bench))


async def measured(bench: Bench) -> None:
    uniform, zipf = spread(bench.names)
    await bench.load(lambda: OWN, seconds=2)
    empty, own = bench.pss(names.POOL), bench.pss(OWN)
    first, loads = await bench.cold()
    full = bench.pss(names.POOL)
    line(
        "one replica of an application of its own, PSS",
        f"{own:.0f} MiB; {NUM_MODELS} of them {own * NUM_MODELS / 1024:.1f} GiB (computed)",
    )
    line(f"one replica of the pool, PSS, no model loaded / {NUM_MODELS} loaded", f"{empty:.0f} / {full:.0f} MiB")
    line("load of a cold model, p50 / p99", quantiles(loads))
    line("first answer of a cold model, p50 / p99", quantiles(first))
    bench.promote(bench.names[0], 2)
    told_s, forced_s = bench.publish(names.POOL)
    line(f"one promotion among {NUM_MODELS}: told / in force", f"{told_s:.2f} / {forced_s:.2f} s")
    for what, pick in (("an application of its own", lambda: OWN), ("one model of the pool", lambda: bench.names[0])):
        latencies = await bench.load(pick)
        line(f"{what}, {NUM_CONNECTIONS} connections", f"{len(latencies) / SECONDS:.0f} req/s, {quantiles(latencies)}")
    for limit in (NUM_MODELS, NUM_MODELS // 5):
        bench.put(max_loaded_models=limit + 2)
        bench.publish(names.POOL)
        for what, pick in (("uniform", uniform), (f"Zipf {ZIPF}", zipf)):
            await bench.load(pick, seconds=2)
            before = await bench.hits()
            latencies = await bench.load(pick)
            hits, loads_ = (after - was for after, was in zip(await bench.hits(), before, strict=True))
            asked = f"{len(latencies) / SECONDS:.0f} req/s, {quantiles(latencies)}"
            line(
                f"{NUM_MODELS} models, at most {limit + 2} loaded, {what}",
                f"{asked}; hit rate {hits / (hits + loads_):.3f}, {loads_ / SECONDS:.0f} loads/s",
            )


def main() -> None:
    settings = Settings.from_env()
    if sys.argv[1:] == ["--inside"]:
        inside(settings)
        return
    local.start(settings)
    try:
        job = submit.submit(
            settings,
            "benchmarks.many_models",
            arguments=["--inside"],
            submission_id=f"many-models-{time.time_ns()}",
            tags=submit.JobTags(job_class="benchmark", workload="many"),
            working_dir=Path(__file__).resolve().parents[1],
        )
        state = submit.follow(settings, job)
        print(f"\n{state.status} {state.message if state.status != submit.SUCCEEDED else ''}")
    finally:
        local.stop(settings)


if __name__ == "__main__":
    main()
