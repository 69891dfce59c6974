"""How one workload asks another: what travels, and who carries it; a failure is a reply that says why."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from ray import serve
from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle

from heliostat.errors import HeliostatError
from heliostat.serving.combining import Reply
from heliostat.serving.problem import ExpiredError, UnavailableError
from heliostat.serving.rows import Cells, Defaults, RowReader
from serve_apps.predictor import Predictor

logger = logging.getLogger(__name__)

WAY: ContextVar[tuple[str, ...]] = ContextVar("way", default=())
"""The workloads through which the rows came that are answered now."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Rows on their way to another workload; `way` names those that they came through, `left_s` the time that is left.

    The outer caller's key was checked where the request came in, and is not checked again.
    """

    values_by_column: Mapping[str, Cells]
    keys: list[str]
    event_at: list[datetime]
    due_at: list[datetime | None]
    request_id: str
    received_at: datetime
    way: tuple[str, ...]
    left_s: float

    def only(self, rows: Sequence[int]) -> "Asked":
        """These rows alone."""
        return replace(
            self,
            values_by_column={name: _taken(values, rows) for name, values in self.values_by_column.items()},
            keys=[self.keys[row] for row in rows],
            event_at=[self.event_at[row] for row in rows],
            due_at=[self.due_at[row] for row in rows],
        )


class Peers(Protocol):
    """The other workloads of this cluster; `ask` never raises, a reply says why there is no answer."""

    def follow(self, application_by_workload: Mapping[str, str]) -> None:
        """Which application answers for which workload, from now on."""

    async def ask(self, workload: str, asked: Asked) -> Reply:
        """What the workload answers, within the time that is left."""


class HandlePeers:
    """The other workloads by Serve's handles: one hop, no HTTP."""

    def __init__(self) -> None:
        self._application_by_workload: Mapping[str, str] = {}
        self._handle_by_application: dict[str, DeploymentHandle[Any]] = {}

    def follow(self, application_by_workload: Mapping[str, str]) -> None:
        """Which application answers for which workload, from now on."""
        self._application_by_workload = dict(application_by_workload)

    async def ask(self, workload: str, asked: Asked) -> Reply:
        """What the workload answers, within the time that is left."""
        application = self._application_by_workload.get(workload)
        if application is None:
            return Reply(missing="it is not deployed")
        return await in_time(self._asked(application, workload, asked), asked.left_s)

    async def _asked(self, application: str, workload: str, asked: Asked) -> Reply:
        handle = self._handle_by_application.get(application)
        if handle is None:
            # Asks Serve's controller, and waits for it.
            handle = await asyncio.to_thread(serve.get_app_handle, application)
            self._handle_by_application[application] = handle
        try:
            reply: Reply = await handle.answer_peer.remote(workload, asked)
        except RayTaskError as error:
            # The other's own error, as it was raised: Ray's wrapper would show its traceback to the caller.
            raise error.cause from None
        if reply.missing is None and len(reply.answers) != len(asked.keys):
            # Its replicas may run the code of another revision, which says it otherwise.
            return Reply(missing=f"it gave {len(reply.answers)} answers to {len(asked.keys)} rows; deploy it anew")
        return reply


async def in_time(answer: Any, left_s: float) -> Reply:
    """The reply, or one that says that it did not come in time or what went wrong."""
    try:
        async with asyncio.timeout(left_s):
            reply: Reply = await answer
            return reply
    except TimeoutError:
        return Reply(missing=f"nothing came within {left_s:.3f} s")
    # The outer edge of another workload: whatever it is, the one that asks says so, or goes on as declared.
    except Exception as error:
        if not isinstance(error, HeliostatError):
            logger.exception("Another workload failed.")
        return Reply(missing=f"{type(error).__name__}: {error!s:.300}")


async def answer_peer(predictor: Predictor, asked: Asked) -> Reply:
    """The rows answered and logged as any request's; the columns that this workload declares are read from them."""
    name = predictor.config.workload
    if name in asked.way:
        raise UnavailableError(f"{' asks '.join((*asked.way, name))}, which is a circle; run jobs.deploy for one.")
    contract = predictor.config.contract
    declared = {column.name for column in contract.columns}
    values = {column: cells for column, cells in asked.values_by_column.items() if column in declared}
    defaults = Defaults(request_id=asked.request_id, received_at=asked.received_at)
    rows = RowReader(contract).from_columns(values, defaults)
    now_s = time.perf_counter()
    WAY.set(asked.way)  # for this task alone, and those that it starts
    if asked.left_s <= 0:
        raise ExpiredError("The time for the request was over before this workload was asked.")
    ids, answer = await predictor.predict(
        replace(rows, keys=asked.keys, event_at=asked.event_at, due_at=asked.due_at),
        # With the way in it, the ids differ from those of a caller's own request: no key's name has a line break.
        caller="\n".join((*asked.way, name)),
        request_id=asked.request_id,
        received_at=asked.received_at,
        started_s=now_s,
        deadline_s=now_s + asked.left_s,
    )
    return Reply(
        answers=answer.probabilities,
        versions=answer.versions,
        ids=ids,
        task=contract.task,
        degraded_reason=answer.degraded_reason if answer.degraded else None,
    )


def _taken(values: Cells, rows: Sequence[int]) -> Cells:
    return [values[row] for row in rows] if isinstance(values, list) else values.take(list(rows))
