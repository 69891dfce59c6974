"""A real predictor on real toy bundles, served in this process: no Ray, no network."""

import asyncio
import importlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from actors.comparing import compare_asked
from heliostat.errors import NotFoundError
from heliostat.learn.bundle import to_files
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from heliostat.records import KeyRecord, ModelVersion, key_hash
from heliostat.serving.problem import UnavailableError
from heliostat.settings import Settings
from heliostat.store.bundles import write_bundle
from heliostat.store.catalog import Catalog
from serve_apps.config import PredictorConfig
from serve_apps.endpoints import http_app
from serve_apps.predictor import Predictor
from tests.toy_rows import labelled_rows

ROLES = ("viewer", "caller", "operator", "admin")
ROW = {
    "reading": "r-1",
    "read_at": "2024-03-01T10:00:00Z",
    "load_percent": 50,
    "temperature_c": 3.5,
    "site": "alpha",
}
# As the toy, and yet different code: another encoding, and one that breaks on a high load alone.
LOAD = 'batch["load_percent"]'
OTHER_ENCODING = (f"{LOAD}.astype(np.float32) / 50 - 1", f"1 - {LOAD}.astype(np.float32) / 50")
FRAGILE = ("    missing = np.isnan", f"    assert len({LOAD}) > 1 or {LOAD}[0] < 90\n    missing = np.isnan")


@dataclass
class Chronicle:
    """Whoever steers, as far as this test needs: writes down what was asked; keys are in a real catalog."""

    asked: list = field(default_factory=list)
    runs: list = field(default_factory=list)
    catalog: Catalog | None = None
    publish: object = None
    bundle_by_number: dict = field(default_factory=dict)

    async def promote(self, version, by):
        self.asked.append(("promote", version, by))
        return {"champion": version}

    async def rollback(self, by, champion):
        self.asked.append(("rollback", by, champion))

    async def hold(self, by):
        self.asked.append(("hold", by))

    async def status(self):
        return {"phase": "idle"}

    async def scored_runs(self):
        return self.runs

    async def model_version(self, version, **_):
        if version not in self.bundle_by_number:
            raise NotFoundError(f"Version {version} is not in this catalog.")
        bundle = self.bundle_by_number[version]
        named = {"workload": "toy", "number": version, "run_id": "r", "candidate": "c", "kind": "network"}
        made = {"lineage": {}, "scores": {}, "by": "test", "at": datetime.now(UTC)}
        return ModelVersion(**named, **made, bundle_uri=bundle.uri, bundle_hash=bundle.hash)

    async def compare(self, asked, columns, *, timeout_s):
        return await asyncio.to_thread(compare_asked, "toy", columns, asked, catalog=self.catalog)

    async def metrics(self):
        raise UnavailableError("No monitor is up here.")

    async def hear_failures(self, replica, num_by_status):
        self.asked.append(("failed", replica, num_by_status))

    async def keys(self):
        return self.catalog.keys()

    async def create_key(self, key, *, by):
        given = {"workload": key.workload, "terms": key.terms, "key_id": key.key_id, "by": by, "at": datetime.now(UTC)}
        plaintext = self.catalog.create_key(key.name, key.role, **given)
        await self.publish(self.catalog.keys())
        return plaintext

    async def revoke_key(self, key_id, *, by):
        self.catalog.revoke_key(key_id, by=by, at=datetime.now(UTC))
        await self.publish(self.catalog.keys())


class LocalDesk:
    """The catalog in this process, as the desk of a replica; `num_wakes` counts who was woken."""

    def __init__(self, home: Path, workload: str):
        self.catalog = Catalog(Settings(home=home).catalog_url)
        self.catalog.create()
        self.workload = workload
        self.num_wakes = 0

    async def add(self, job, *, at):
        return self.catalog.add_answer_job(job, by=job.by, at=at)

    async def change(self, job, *, by, at, kind):
        return self.catalog.change_answer_job(job, by=by, at=at, kind=kind)

    async def job(self, job_id):
        return self.catalog.answer_job(self.workload, job_id)

    async def jobs(self, by):
        return self.catalog.answer_jobs(self.workload, by=by)

    async def num_open(self):
        return self.catalog.num_open_answer_jobs(self.workload)

    async def has_secret(self, name):
        return self.catalog.webhook_secret(self.workload, name) is not None

    async def put_secret(self, name, secret, *, at):
        self.catalog.put_webhook_secret(self.workload, name, secret, by=name, at=at)

    async def wake(self):
        self.num_wakes += 1


def make_bundle(home: Path, module: str, *, seed: int):
    """The bundle of a quick fit of that module's workload."""
    workload = importlib.import_module(module).workload
    train, validation = split_by_time(labelled_rows("2024-01", rows_per_part=600), share=0.2)
    fitted = fit(workload, train, validation, seed=seed)
    return write_bundle(str(home / "bundles"), to_files(module, fitted, profile={}, lineage={"seed": seed}))


def changed_toy(directory: Path, name: str, change: tuple[str, str]) -> str:
    """A module beside the toy with one line changed."""
    source = Path(importlib.import_module("tests.toy").__file__).read_text()
    assert change[0] in source
    (directory / f"{name}.py").write_text(source.replace(*change))
    return name


def plaintext(role: str) -> str:
    return f"hel_{role}_secret"


def keys():
    return [
        KeyRecord(key_id=role, hash=key_hash(plaintext(role)), role=role, name=f"{role}-key", workload=None).to_json()
        for role in ROLES
    ]


def record(bundles, *, epoch=1, champion=1, **others):
    named = {str(number): bundle.to_json() for number, bundle in bundles.items()}
    return {"epoch": epoch, "champion": champion, "bundles": named, "keys": keys(), **others}


@dataclass
class Served:
    """A predictor that answers, and clients with the keys of each role."""

    predictor: Predictor
    steering: Chronicle
    app: object

    def client(self, role="admin", **headers):
        authorization = {"Authorization": f"Bearer {plaintext(role)}"} if role else {}
        transport = httpx.ASGITransport(self.app)
        return httpx.AsyncClient(transport=transport, base_url="http://toy", headers={**authorization, **headers})

    async def predict(self, *rows, **headers):
        async with self.client("caller", **headers) as client:
            response = await client.post("/v1/predict", json={"rows": list(rows)})
        assert response.status_code == 200, response.text
        return response.json()


@asynccontextmanager
async def serving(workload, home: Path, first=None, **options):
    """A predictor with its first routing record in force; closed at the end."""
    predictor = Predictor(PredictorConfig.of(workload, Settings(home=home), options))
    catalog = Catalog(f"sqlite:///{home}/catalog.db")
    catalog.create()

    async def publish(records):
        await predictor.reconfigure({**first, "keys": [*first["keys"], *(record.to_json() for record in records)]})

    steering = Chronicle(catalog=catalog, publish=publish)
    try:
        if first is not None:
            await predictor.reconfigure(first)
        yield Served(predictor, steering, http_app(predictor, steering, LocalDesk(home, workload.name)))
    finally:
        predictor.close()
        catalog.close()


def run(scenario):
    """Run one asynchronous test to its end."""
    asyncio.run(scenario())
