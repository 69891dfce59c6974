"""A real pool of toy workloads, served in this process: no Ray, no network."""

import importlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from heliostat.learn import declaration
from heliostat.settings import Settings
from heliostat.store.bundles import write_bundle
from serve_apps.together.peers import HandlePeers
from serve_apps.together.pool import Pool
from tests.integration.predictor_fixture import Chronicle, keys, plaintext

MODULE = """from dataclasses import replace
from heliostat import Pool, Serving
from tests import toy, toy_kinds
{imports}
workload = replace({base}, name="{name}", serving=Serving(pool=Pool(), {serving}){more})
"""


def make_module(directory: Path, name: str, *, serving="", imports="", more="", base="toy.workload") -> str:
    """A module that declares `base` under another name, in the pool; its directory must be on the import path."""
    module = name.replace("-", "_")
    text = MODULE.format(name=name, serving=serving, imports=imports, more=more, base=base)
    (directory / f"{module}.py").write_text(text)
    importlib.invalidate_caches()
    return module


def declared(home: Path, module: str):
    """The bundle of a module's declaration."""
    return write_bundle(str(home / "declarations"), declaration.to_files(module)).to_json()


def member(declaration_ref, bundles, *, epoch=1, champion=1, **others):
    """One workload's part of the pool's record."""
    named = {str(number): bundle.to_json() for number, bundle in bundles.items()}
    return {"declaration": declaration_ref, "epoch": epoch, "champion": champion, "bundles": named, **others}


def pool_record(members, *, max_loaded_models=100, max_loaded_mib=100.0, num_replicas=1):
    """The pool's record."""
    limits = {"max_loaded_models": max_loaded_models, "max_loaded_mib": max_loaded_mib, "num_replicas": num_replicas}
    return {"limits": limits, "keys": keys(), "workloads": members}


@dataclass
class Pooled:
    """A pool that answers, and clients with the keys of each role."""

    pool: Pool
    steering: dict = field(default_factory=dict)

    def client(self, role="caller"):
        authorization = {"Authorization": f"Bearer {plaintext(role)}"} if role else {}
        transport = httpx.ASGITransport(self.pool)
        return httpx.AsyncClient(transport=transport, base_url="http://pool", headers=authorization)

    async def ask(self, name, *rows, role="caller"):
        async with self.client(role) as client:
            return await client.post(f"/{name}/v1/predict", json={"rows": list(rows)})

    async def predict(self, name, *rows):
        response = await self.ask(name, *rows)
        assert response.status_code == 200, response.text
        return response.json()

    @property
    def loaded(self):
        """The workloads that are in memory, with the versions of each."""
        found = {name: sorted(each.predictor.live.version_by_number) for name, each in self.pool.member_by_name.items()}
        return {name: versions for name, versions in found.items() if versions}


@asynccontextmanager
async def pooling(home: Path, record, **options):
    """A pool with its first record in force; closed at the end."""
    steering: dict[str, Chronicle] = {}
    pool = Pool(
        Settings(home=home),
        steering=lambda name: steering.setdefault(name, Chronicle()),
        peers=HandlePeers,
        options=options,
    )
    try:
        await pool.reconfigure(record)
        yield Pooled(pool, steering)
    finally:
        pool.close()
