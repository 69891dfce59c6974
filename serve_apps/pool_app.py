"""The Serve application of the pool: what answers for every workload that shares its replicas.

Reads:  bundles, named by the record in `user_config`
Writes: write-ahead segments: predictions, labels
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application

from cluster.resources import predictor_actor_options
from heliostat.errors import SettingsError
from heliostat.serving.combining import Reply
from heliostat.settings import Settings
from serve_apps import cache_metrics
from serve_apps.app import MAX_ONGOING_REQUESTS, SHUTDOWN_TIMEOUT_S
from serve_apps.desk import ActorDesk
from serve_apps.protocols import accepting
from serve_apps.protocols.grpc_calls import InferenceService
from serve_apps.together.peers import Asked, HandlePeers
from serve_apps.together.pool import Pool
from serve_apps.together.pool_calls import PoolCalls

DEPLOYMENT = "Pool"


class PoolReplica(InferenceService):
    """A pool as Serve runs it; Serve calls the methods in this order."""

    def __init__(self, settings: Settings) -> None:
        self._pool = Pool(settings, steering=ActorDesk, desk=ActorDesk, peers=HandlePeers)
        self.calls = PoolCalls(self._pool)
        self._counting: asyncio.Task[None] | None = None

    def __serve_build_asgi_app__(self) -> Pool:
        """The ASGI application that answers; Serve ends its lifespan when the replica goes."""
        accepting.install()
        return self._pool

    async def answer_peer(self, workload: str, asked: Asked) -> Reply:
        """What another workload of this cluster asks; its key was checked where the request came in."""
        return await self._pool.answer_peer(workload, asked)

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """The pool's record, at the start and whenever a route, a key or a workload changes."""
        await self._pool.reconfigure(user_config)
        if self._counting is None:
            self._counting = asyncio.create_task(cache_metrics.follow(self._pool.caches))


def build(args: Mapping[str, Any]) -> Application:
    """The pool of the installation at `args["home"]`, on the ports from `args["base_port"]`."""
    if args.keys() != {"home", "base_port"}:
        raise SettingsError(f"serve_apps.pool_app:build needs the arguments home and base_port; it got {sorted(args)}.")
    settings = Settings(home=Path(str(args["home"])), base_port=int(args["base_port"]))
    deployment = serve.deployment(
        name=DEPLOYMENT,
        ray_actor_options=predictor_actor_options(),
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        max_surge_percent=100,
        graceful_shutdown_timeout_s=SHUTDOWN_TIMEOUT_S,
        max_constructor_retry_count=3,
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    application: Application = deployment(serve.ingress()(PoolReplica)).bind(settings)
    return application
