"""A predictor that shares its process: its versions are loaded when they are asked for, and dropped when they are not.

Reads:  bundles; the routing record that it is handed
Writes: write-ahead segments: predictions, labels
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from heliostat.errors import HeliostatError
from heliostat.records import BundleRef, Route
from heliostat.serving.routing import versions
from heliostat.serving.rows import Rows
from heliostat.serving.shelf import Load, Shelf
from serve_apps.config import PredictorConfig
from serve_apps.engine.scoring import Answer
from serve_apps.engine.versions import LoadedVersion, load_versions
from serve_apps.predictor import Predictor

logger = logging.getLogger(__name__)


class PooledPredictor(Predictor):
    """One of many in a replica; `loader` runs what loads, one after the other, beside those that answer.

    Champion, candidate and previous version come and go together, so that no fallback has to wait for a load. One that
    cannot be loaded is left out, as one that fails is, and tried again after `retry_after_s`.
    """

    def __init__(self, config: PredictorConfig, *, shelf: Shelf, loader: Executor) -> None:
        super().__init__(config)
        self._shelf, self._loader = shelf, loader
        self._bundle_by_number: Mapping[int, BundleRef] = {}
        self._loading: asyncio.Task[None] | None = None
        self._failed_until_s = 0.0
        self.load_ms: float | None = None

    async def predict(
        self, rows: Rows, *, started_s: float, deadline_s: float, **asked: Any
    ) -> tuple[list[str], Answer]:
        """The ids and the answers of the rows, as of any predictor; the versions are loaded first if they must be."""
        with self._shelf.lent(self.config.workload):
            if self._has_all:
                self._shelf.num_hits += 1
            else:
                await self._loaded(started_s=started_s, deadline_s=deadline_s)
            return await super().predict(rows, started_s=started_s, deadline_s=deadline_s, **asked)

    @property
    def versions(self) -> list[int]:
        """The numbers of the versions that a caller may name, in memory or not."""
        return sorted(versions(self.live.route))

    @property
    def is_ready(self) -> bool:
        """True when there is a champion, which is in memory or will be."""
        champion = self.live.route.champion
        return champion is not None and (champion in self.live.version_by_number or not self._has_failed)

    def status(self) -> dict[str, Any]:
        """What this replica holds and does, for this workload and for the pool."""
        return {**super().status(), "last_load_ms": self.load_ms, "pool": self._shelf.status()}

    @property
    def _beside(self) -> Executor:
        """What runs loads, one after the other."""
        return self._loader

    def drop(self) -> None:
        """Its versions are not in memory any more; the next request loads them."""
        self.live = replace(self.live, version_by_number={})
        self._shelf.drop(self.config.workload)

    async def _load(self, route: Route, *, bundle_by_number: Mapping[int, BundleRef]) -> dict[int, LoadedVersion]:
        """Nothing for the first record; later, what is new is loaded at once, so that a bad bundle is refused."""
        loaded = await self._in_loader(route, bundle_by_number) if self._has_record else {}
        self._bundle_by_number, self._failed_until_s = bundle_by_number, 0.0
        self._shelve(loaded)
        return loaded

    async def _loaded(self, *, started_s: float, deadline_s: float) -> None:
        """All that can be loaded is; many that wait for the same load wait for one. ExpiredError after the deadline."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_what_lacks())
            self._loading.add_done_callback(self._forget_loading)
        await asyncio.wait({self._loading}, timeout=max(0.0, deadline_s - time.perf_counter()))
        expired = self.admission.refuse_expired(started_s=started_s, deadline_s=deadline_s)
        if expired is not None:
            raise expired

    def _forget_loading(self, task: "asyncio.Task[None]") -> None:
        self._loading = None
        task.result()

    async def _load_what_lacks(self) -> None:
        # Not while a record is taken in: what is loaded here must be what the route in force names.
        async with self._changing:
            if self._has_all:
                return
            began_s, route = time.perf_counter(), self.live.route
            loaded: dict[int, LoadedVersion] = {}
            for number in sorted(versions(route)):
                try:
                    loaded |= await self._in_loader(Route(champion=number), self._bundle_by_number)
                # The outer edge of a bundle's own code: what cannot be loaded is left out, and another version answers.
                except Exception as error:
                    logger.exception("%s: version %d cannot be loaded.", self.config.workload, number)
                    self._say_failed(error)
            self.live = replace(self.live, version_by_number=loaded)
            self.load_ms = round((time.perf_counter() - began_s) * 1000, 3)
            self._shelf.num_loads += 1
            self._shelve(loaded)

    async def _in_loader(self, route: Route, bundle_by_number: Mapping[int, BundleRef]) -> dict[int, LoadedVersion]:
        def load() -> dict[int, LoadedVersion]:
            return load_versions(
                versions(route),
                bundle_by_number=bundle_by_number,
                held=self.live.version_by_number,
                contract=self.config.contract,
            )

        return await asyncio.get_running_loop().run_in_executor(self._loader, load)

    def _shelve(self, loaded: Mapping[int, LoadedVersion]) -> None:
        num_bytes = sum(version.model.num_bytes for version in loaded.values())
        self._shelf.put(self.config.workload, Load(num_models=len(loaded), num_bytes=num_bytes))

    def _say_failed(self, error: Exception) -> None:
        self._failed_until_s = time.monotonic() + self.config.retry_after_s
        said = str(error) if isinstance(error, HeliostatError) else f"{type(error).__name__}: {error}"
        self.last_error = {"at": datetime.now(UTC).isoformat(), "detail": said}

    @property
    def _has_failed(self) -> bool:
        return time.monotonic() < self._failed_until_s

    @property
    def _has_all(self) -> bool:
        """Whether nothing is to be loaded now."""
        return self._has_failed or versions(self.live.route) <= self.live.version_by_number.keys()
