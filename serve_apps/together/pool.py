"""Many workloads in one process: each with its own route, keys, contract, log and limits; memory is shared.

Reads:  bundles of declarations and of versions; the pool's record that it is handed
Writes: write-ahead segments: predictions, labels
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from heliostat.errors import HeliostatError, NotFoundError
from heliostat.learn import declaration
from heliostat.records import BundleRef
from heliostat.serving import problem
from heliostat.serving.answer_cache import AnswerCache
from heliostat.serving.combining import Reply
from heliostat.serving.problem import UnavailableError
from heliostat.serving.shelf import MIB, Shelf, ShelfLimits
from heliostat.settings import Settings
from heliostat.store.bundles import read_bundle
from heliostat.workload import Workload
from serve_apps.asgi import Receive, Response, Scope, Send
from serve_apps.config import PredictorConfig
from serve_apps.desk import Desk
from serve_apps.endpoints import http_app
from serve_apps.http import HttpApp
from serve_apps.protocols.grpc_calls import GrpcCalls
from serve_apps.steering import Steering
from serve_apps.together.composed import pooled_predictor_of
from serve_apps.together.peers import Asked, Peers, answer_peer, in_time
from serve_apps.together.pooled import PooledPredictor

logger = logging.getLogger(__name__)

NOTHING = ShelfLimits(max_models=1, max_bytes=0)
_MADE_FROM = ("declaration", "num_replicas")  # what a member cannot follow while it lives


@dataclass(frozen=True, kw_only=True)
class Member:
    """One workload of the pool, and the record that it follows."""

    predictor: PooledPredictor
    app: HttpApp
    calls: GrpcCalls
    record: Mapping[str, Any]


class Pool:
    """The ASGI application of every workload in the pool, told apart by the first part of the path.

    What is wrong with one workload's declaration, record or bundle is said to its own callers; the others go on.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        steering: Callable[[str], Steering],
        peers: Callable[[], Peers],
        desk: Callable[[str], Desk] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.shelf = Shelf(NOTHING)
        self.member_by_name: dict[str, Member] = {}
        self._wrong_by_name: dict[str, str] = {}
        self._settings, self._options = settings, dict(options or {})
        self._steering, self._peers = steering, peers
        self._desk = desk
        self._loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="load")
        self._changing = asyncio.Lock()
        self._newest: Mapping[str, Any] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._retrying: asyncio.Task[None] | None = None

    async def reconfigure(self, record: Mapping[str, Any]) -> None:
        """Every workload of the record is in force, or says itself why it is not; those that did not change go on."""
        self._newest = record
        if self._retry is not None:
            self._retry.cancel()
        async with self._changing:
            limits = record["limits"]
            self.shelf.limits = ShelfLimits(
                max_models=int(limits["max_loaded_models"]), max_bytes=float(limits["max_loaded_mib"]) * MIB
            )
            for name in self.member_by_name.keys() - record["workloads"].keys():
                self._close(self.member_by_name.pop(name))
            # What is wrong stays said while it is tried again: a 404 would tell its callers that it is gone.
            for name in self._wrong_by_name.keys() - record["workloads"].keys():
                del self._wrong_by_name[name]
            for name, own in record["workloads"].items():
                keys = [key for key in record["keys"] if key["workload"] in (None, name)]
                await self._follow(name, {**own, "keys": keys, "num_replicas": limits["num_replicas"]})
            self.make_room()
        if self._wrong_by_name:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(self._options.get("retry_after_s", 5.0), self._try_again)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        name = scope["path"].partition("/")[2].partition("/")[0]
        member = self.member_by_name.get(name)
        if member is not None:
            await member.app({**scope, "root_path": f"/{name}"}, receive, send)
            self.make_room()
        elif scope["type"] == "http":
            await _refusal(self.why_not(name)).send(send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    def caches(self) -> dict[str, AnswerCache]:
        """The answers that are given again, of the workloads that ask for that."""
        found = {name: member.predictor.cache for name, member in self.member_by_name.items()}
        return {name: cache for name, cache in found.items() if cache is not None}

    async def answer_peer(self, name: str, asked: Asked) -> Reply:
        """What another workload asks one of these; UnavailableError or NotFoundError when it cannot be asked."""
        member = self.member_by_name.get(name)
        if member is None:
            raise self.why_not(name)
        reply = await answer_peer(member.predictor, asked)
        self.make_room()
        return reply

    def close(self) -> None:
        """Ends what runs, and seals what every workload has logged."""
        if self._retry is not None:
            self._retry.cancel()
        for member in self.member_by_name.values():
            member.predictor.close()
        self._loader.shutdown(wait=True)

    async def _follow(self, name: str, record: Mapping[str, Any]) -> None:
        member = self.member_by_name.get(name)
        try:
            if member is None or any(member.record[name] != record[name] for name in _MADE_FROM):
                before, member = member, await self._member(name, record)
                await member.predictor.reconfigure(record)
                self.member_by_name[name] = member
                if before is not None:
                    self._close(before)
            elif member.record != record:
                await member.predictor.reconfigure(record)
                self.member_by_name[name] = replace(member, record=record)
            self._wrong_by_name.pop(name, None)
        # The outer edge of one workload's own code: the others must be served, and its callers are told.
        except Exception as error:
            logger.exception("The workload %s is not in force.", name)
            self._wrong_by_name[name] = f"{type(error).__name__}: {error}"

    async def _member(self, name: str, record: Mapping[str, Any]) -> Member:
        ref = BundleRef(**record["declaration"])
        workload: Workload = await asyncio.get_running_loop().run_in_executor(
            self._loader, lambda: declaration.load(read_bundle(ref.uri, ref.hash))
        )
        # A key's allowance is shared out among the replicas that there are, whatever this workload alone asked for.
        limits = replace(workload.serving, num_replicas=record["num_replicas"])
        config = PredictorConfig.of(replace(workload, serving=limits), self._settings, self._options)
        peers = _NearPeers(self, self._peers())
        predictor = pooled_predictor_of(config, peers, shelf=self.shelf, loader=self._loader)
        desk = None if self._desk is None else self._desk(name)
        app = http_app(predictor, self._steering(name), desk)
        return Member(predictor=predictor, app=app, calls=GrpcCalls(predictor), record=record)

    def make_room(self) -> None:
        """What was not asked for longest is not in memory any more, as far as the limits ask for it."""
        for name in self.shelf.surplus():
            if name in self.member_by_name:
                self.member_by_name[name].predictor.drop()

    def _close(self, member: Member) -> None:
        # It keeps its versions: requests that it has begun end first; by then each was answered or is too late.
        self.shelf.drop(member.predictor.config.workload)
        delay_s = member.predictor.config.limits.request_timeout_s
        asyncio.get_running_loop().call_later(delay_s, member.predictor.close)

    def _try_again(self) -> None:
        self._retrying = asyncio.ensure_future(self.reconfigure(self._newest))

    def why_not(self, name: str) -> HeliostatError:
        """What to tell a caller of a workload that does not answer here."""
        if name in self._wrong_by_name:
            return UnavailableError(
                f"The workload {name!r} cannot be served: {self._wrong_by_name[name]:.500}. It is tried again."
            )
        return NotFoundError(f"There is no workload {name!r:.80} here; deploy it with jobs.deploy.")

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.close()
        await send({"type": "lifespan.shutdown.complete"})


class _NearPeers:
    """The other workloads of a pool's member: those beside it are asked in this process."""

    def __init__(self, pool: Pool, others: Peers) -> None:
        self._pool, self._others = pool, others

    def follow(self, application_by_workload: Mapping[str, str]) -> None:
        """Which application answers for which workload, from now on."""
        self._others.follow(application_by_workload)

    async def ask(self, workload: str, asked: Asked) -> Reply:
        """What the workload answers, within the time that is left."""
        if workload in self._pool.member_by_name:
            # A task of its own, as a call by a handle has.
            return await in_time(asyncio.create_task(self._pool.answer_peer(workload, asked)), asked.left_s)
        return await self._others.ask(workload, asked)


def _refusal(error: HeliostatError) -> Response:
    found = problem.of(error)
    return Response(
        body=found.body(instance=str(uuid.uuid4())),
        status=found.status,
        content_type=problem.CONTENT_TYPE,
        headers=found.headers,
    )
