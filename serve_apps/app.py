"""The Serve application of one workload.

Reads:  bundles, named by the routing record in `user_config`
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
from heliostat.workload import load
from serve_apps import cache_metrics
from serve_apps.config import PredictorConfig
from serve_apps.desk import ActorDesk
from serve_apps.endpoints import http_app
from serve_apps.fellows import follow, num_running
from serve_apps.http import HttpApp
from serve_apps.protocols import accepting, express_replica
from serve_apps.protocols.grpc_calls import GrpcCalls, InferenceService
from serve_apps.scaling import replica_options
from serve_apps.together.composed import predictor_of
from serve_apps.together.peers import Asked, HandlePeers, answer_peer

DEPLOYMENT = "Predictor"
MAX_ONGOING_REQUESTS = 200
# Longer than the ingress keeps sending to a replica that was replaced, so that segments are closed in order.
SHUTDOWN_TIMEOUT_S = 30.0
_OPTIONAL = frozenset({"durability", "rotate_after_s", "retry_after_s", "max_rows_per_batch", "max_rows_inline"})


class Replica(InferenceService):
    """A predictor as Serve runs it; Serve calls these methods, in this order, and the gRPC calls of the base."""

    def __init__(self, config: PredictorConfig) -> None:
        self._predictor = predictor_of(config, HandlePeers())
        self.calls = GrpcCalls(self._predictor)
        self._following: asyncio.Task[None] | None = None
        self._counting: asyncio.Task[None] | None = None

    def __serve_build_asgi_app__(self) -> HttpApp:
        """The ASGI application that answers; Serve ends its lifespan when the replica goes."""
        config = self._predictor.config
        accepting.install()
        desk = ActorDesk(config.workload)
        app = http_app(self._predictor, desk, desk)
        # One that asks other workloads calls them by Serve's handles, whose context only Serve's own way makes.
        if not config.asks_others:
            express_replica.install(app, ["/v1/predict", f"/v2/models/{config.workload}/infer"])
        return app

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What the replica did since this was last asked, about once a second when the workload scales."""
        return self._predictor.admission.take_load()

    async def answer_peer(self, _: str, asked: Asked) -> Reply:
        """What another workload of this cluster asks; its key was checked where the request came in."""
        return await answer_peer(self._predictor, asked)

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """The routing record, at the start and whenever it changes."""
        await self._predictor.reconfigure(user_config)
        if self._following is None and self._predictor.config.limits.scaling is not None:
            self._following = asyncio.create_task(follow(num_running, self._predictor.access.share_among))
        cache = self._predictor.cache
        if self._counting is None and cache is not None:
            name = self._predictor.config.workload
            self._counting = asyncio.create_task(cache_metrics.follow(lambda: {name: cache}))


def build(args: Mapping[str, Any]) -> Application:
    """The application of the workload module `args["workload"]` in the installation at `args["home"]`.

    `args["base_port"]` completes the installation; the fields of PredictorConfig that have defaults may be given too.
    `args["route"]` is the first routing record when `user_config` is not declared.
    """
    unknown = sorted(args.keys() - _OPTIONAL - {"workload", "home", "base_port", "route"})
    if unknown or "workload" not in args:
        raise SettingsError(
            f"serve_apps.app:build needs the argument workload and does not know {unknown}; it got {sorted(args)}."
        )
    workload = load(str(args["workload"]))
    options = {name: args[name] for name in _OPTIONAL if name in args}
    config = PredictorConfig.of(workload, _settings(args), options)
    deployment = serve.deployment(
        name=DEPLOYMENT,
        **replica_options(workload.serving),
        ray_actor_options=predictor_actor_options(
            num_cpus=workload.serving.cpus_per_replica, num_gpus=workload.serving.gpus_per_replica
        ),
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        # A version of the code that does not start leaves the one that serves alone.
        max_surge_percent=100,
        graceful_shutdown_timeout_s=SHUTDOWN_TIMEOUT_S,
        max_constructor_retry_count=3,
        user_config=args.get("route"),
        # Every request is in the write-ahead log; a line of text for each would cost a tenth of the throughput.
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    application: Application = deployment(serve.ingress()(Replica)).bind(config)
    return application


def _settings(args: Mapping[str, Any]) -> Settings:
    known = Settings.from_env()
    return Settings(home=Path(str(args.get("home", known.home))), base_port=int(args.get("base_port", known.base_port)))
