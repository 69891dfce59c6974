"""Serve's books of a request that goes the short way, kept by Serve's own code but for the replica around it."""

import asyncio
from types import SimpleNamespace

import pytest
from ray.serve._private.replica import Replica

from serve_apps.asgi import Response
from serve_apps.protocols.express_replica import _books


class Metrics:
    """Keeps what Serve says of requests."""

    def __init__(self):
        self.num_ongoing, self.statuses = 0, []

    def inc_num_ongoing_requests(self, _):
        self.num_ongoing += 1

    def dec_num_ongoing_requests(self, _):
        self.num_ongoing -= 1

    def record_request_metrics(self, **_):
        pass

    def record_ingress_request_metrics(self, *, status_code, **_):
        self.statuses.append(status_code)


class Around:
    """What Serve's methods need of a replica."""

    _handle_errors_and_metrics = Replica._handle_errors_and_metrics
    _record_errors_and_metrics = Replica._record_errors_and_metrics
    _on_request_cancelled = Replica._on_request_cancelled
    _on_request_failed = Replica._on_request_failed
    _start_request = Replica._start_request
    _route_prefix = "/toy"
    _ingress = True
    _deployment_id = SimpleNamespace(app_name="toy", name="Predictor")

    def __init__(self):
        self._metrics_manager = Metrics()
        self._access_log_context = {}
        self._semaphore = asyncio.Semaphore(1)


async def refused():
    return Response(body=b"", status=422)


async def broken():
    raise RuntimeError("not here")


@pytest.mark.parametrize(("answering", "status"), [(refused, "422"), (broken, None)])
def test_what_ends_is_counted_as_it_ended_and_gives_its_place_back(answering, status):
    async def scenario():
        around = Around()
        answer = await _books(around)(answering())
        assert (None if answer is None else str(answer.status)) == status
        assert around._metrics_manager.statuses == [status][: status is not None]
        assert (around._metrics_manager.num_ongoing, around._semaphore.locked()) == (0, False)

    asyncio.run(scenario())


def test_a_caller_who_left_is_counted_as_by_serve_itself():
    async def scenario():
        around = Around()
        asking = asyncio.ensure_future(_books(around)(asyncio.sleep(60)))
        await asyncio.sleep(0)
        asking.cancel()
        assert await asking is None
        assert around._metrics_manager.statuses == ["499"]
        assert (around._metrics_manager.num_ongoing, around._semaphore.locked()) == (0, False)

    asyncio.run(scenario())
