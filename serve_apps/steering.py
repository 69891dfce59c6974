"""How a replica asks those who steer: the steward for the loop, the catalog for what a version was made from."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import ray

from cluster import names
from cluster.resources import READ_BESIDE
from heliostat.columns import Column
from heliostat.govern.asked_comparison import AskedComparison
from heliostat.govern.comparison import Comparison
from heliostat.records import KeyRecord, KeyTerms, ModelVersion, Run
from heliostat.serving.problem import UnavailableError

STATUS_TIMEOUT_S = 1.0
# Without an answer there is none to give, so this waits longer than what is only said beside one.
SEARCH_TIMEOUT_S = 10.0
# Below the time after which the ingress gives the request up.
CHANGE_TIMEOUT_S = 50.0


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key to be made; `key_id` follows from the request, so that a repeated request makes one key."""

    key_id: str
    name: str
    role: str
    workload: str | None
    terms: KeyTerms


class Steering(Protocol):
    """Who steers a workload; every method raises UnavailableError when nobody answers in time."""

    async def promote(self, version: int, by: str) -> Any:
        """The version becomes champion."""

    async def rollback(self, by: str, champion: int | None) -> Any:
        """The version before `champion` becomes champion again."""

    async def hold(self, by: str) -> Any:
        """The running turn ends without a change."""

    async def status(self) -> Any:
        """Where the loop stands."""

    async def metrics(self) -> str:
        """The monitor's figures in Prometheus' text format."""

    async def hear_failures(self, replica: str, num_by_status: Mapping[str, int]) -> None:
        """A replica's totals of requests that failed are taken in by the monitor."""

    async def model_version(self, version: int, *, timeout_s: float = STATUS_TIMEOUT_S) -> ModelVersion:
        """What a version was made from."""

    async def scored_runs(self) -> list[Run]:
        """The runs of jobs.score whose answers are there, the oldest first."""

    async def compare(self, asked: AskedComparison, columns: Sequence[Column], *, timeout_s: float) -> Comparison:
        """Two versions on the same live rows; NotFoundError when there are none."""

    async def keys(self) -> list[KeyRecord]:
        """The keys that count, of all workloads."""

    async def create_key(self, key: NewKey, *, by: str) -> str:
        """The key as its holder sends it."""

    async def revoke_key(self, key_id: str, *, by: str) -> None:
        """The key counts no longer."""


class ActorSteering:
    """The steward and the catalog of this cluster."""

    def __init__(self, workload: str) -> None:
        self._workload = workload

    async def promote(self, version: int, by: str) -> Any:
        """The version becomes champion."""
        return await self._call(names.steward(self._workload), "promote", version, by, timeout_s=CHANGE_TIMEOUT_S)

    async def rollback(self, by: str, champion: int | None) -> Any:
        """The version before `champion` becomes champion again."""
        return await self._call(names.steward(self._workload), "rollback", by, champion, timeout_s=CHANGE_TIMEOUT_S)

    async def hold(self, by: str) -> Any:
        """The running turn ends without a change."""
        return await self._call(names.steward(self._workload), "hold", by, timeout_s=CHANGE_TIMEOUT_S)

    async def status(self) -> Any:
        """Where the loop stands."""
        return await self._call(names.steward(self._workload), "status", timeout_s=STATUS_TIMEOUT_S)

    async def metrics(self) -> str:
        """The monitor's figures, also while it observes."""
        text: str = await self._call(
            names.monitor(self._workload), "metrics", timeout_s=STATUS_TIMEOUT_S, group=READ_BESIDE
        )
        return text

    async def hear_failures(self, replica: str, num_by_status: Mapping[str, int]) -> None:
        """A replica's totals of requests that failed are taken in by the monitor, also while it observes."""
        monitor = names.monitor(self._workload)
        told = (replica, dict(num_by_status))
        await self._call(monitor, "hear_failures", *told, timeout_s=STATUS_TIMEOUT_S, group=READ_BESIDE)

    async def model_version(self, version: int, *, timeout_s: float = STATUS_TIMEOUT_S) -> ModelVersion:
        """What a version was made from."""
        record: ModelVersion = await self._call(names.CATALOG, "version", self._workload, version, timeout_s=timeout_s)
        return record

    async def scored_runs(self) -> list[Run]:
        """The runs of jobs.score whose answers are there, the oldest first."""
        named: dict[str, Any] = {"status": "succeeded", "job": "score"}
        found: list[Run] = await self._call(names.CATALOG, "runs", self._workload, timeout_s=SEARCH_TIMEOUT_S, **named)
        return found

    async def compare(self, asked: AskedComparison, columns: Sequence[Column], *, timeout_s: float) -> Comparison:
        """Two versions on the same live rows, read in a process of its own: a replica has no time for whole tables."""
        # One call a process: the memory of whole tables is given back.
        task = ray.remote(num_cpus=0, max_retries=0, max_calls=1)(_compared)
        answer = task.remote(self._workload, tuple(columns), asked)
        try:
            found: Comparison = await _within(answer, timeout_s)
        except asyncio.CancelledError:
            # Whoever asked is gone: a process that went on would read whole tables for nobody, beside the next one.
            ray.cancel(answer, force=True)
            raise
        except TimeoutError as error:
            ray.cancel(answer, force=True)
            raise UnavailableError(
                f"The rows were not compared within {timeout_s:.0f} s. Ask for fewer with `since` and `until`, or "
                "wait longer with X-Request-Timeout-Seconds; jobs.compare has no limit."
            ) from error
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise UnavailableError("The process that compared was lost. Ask again, or ask for fewer rows.") from error
        return found

    async def keys(self) -> list[KeyRecord]:
        """The keys that count, of all workloads."""
        records: list[KeyRecord] = await self._call(names.CATALOG, "keys", timeout_s=STATUS_TIMEOUT_S)
        return records

    async def create_key(self, key: NewKey, *, by: str) -> str:
        """The key as its holder sends it."""
        given: dict[str, Any] = {
            "workload": key.workload,
            "terms": key.terms,
            "key_id": key.key_id,
            "by": by,
            "at": datetime.now(UTC),
        }
        plaintext: str = await self._call(
            names.CATALOG, "issue_key", key.name, key.role, timeout_s=CHANGE_TIMEOUT_S, **given
        )
        return plaintext

    async def revoke_key(self, key_id: str, *, by: str) -> None:
        """The key counts no longer."""
        await self._call(names.CATALOG, "withdraw_key", key_id, timeout_s=CHANGE_TIMEOUT_S, by=by, at=datetime.now(UTC))

    async def _call(
        self, actor: str, method: str, *arguments: Any, timeout_s: float, group: str | None = None, **named: Any
    ) -> Any:
        try:
            # Looking a name up blocks on the cluster's store, so it happens beside the event loop.
            handle = await _within(asyncio.to_thread(ray.get_actor, actor, namespace=names.NAMESPACE), timeout_s)
            ask = getattr(handle, method).options(concurrency_group=group)
            return await _within(ask.remote(*arguments, **named), timeout_s)
        except TimeoutError as error:
            raise UnavailableError(
                f"The actor {actor!r} did not answer {method} within {timeout_s:g} s; it may still be done. "
                "Look at v1/status before you ask again."
            ) from error
        except ray.exceptions.RayTaskError as error:
            # The actor's own answer, as the actor raised it: Ray's wrapper would show its traceback to the caller.
            raise error.cause from None
        except (ValueError, ray.exceptions.RayActorError) as error:
            raise UnavailableError(f"The actor {actor!r} is not up. Start it: jobs.deploy.") from error


def _compared(workload: str, columns: Sequence[Column], asked: AskedComparison) -> Comparison:
    # Imported by the task alone: a replica has no use for the catalog's database code, which a cold start would load.
    from actors.comparing import compare_live

    return compare_live(workload, columns, asked)


async def _within(answer: Awaitable[Any], timeout_s: float) -> Any:
    # Asked in a task of its own: an answer that comes too late is dropped, never cancelled halfway.
    task = asyncio.ensure_future(_awaited(answer))
    done, _ = await asyncio.wait({task}, timeout=timeout_s)
    if not done:
        task.add_done_callback(_drop)
        raise TimeoutError
    return task.result()


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def _drop(task: "asyncio.Task[Any]") -> None:
    # Read, so that asyncio does not report an error that nobody waits for.
    if not task.cancelled():
        task.exception()
