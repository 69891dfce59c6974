"""Two versions on the same live rows, over HTTP: what `jobs.compare` says, at `v1/comparison`."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from heliostat.govern.asked_comparison import AskedComparison
from heliostat.govern.roles import Action
from heliostat.serving.instants import instant
from heliostat.serving.problem import MalformedError, OverloadedError
from serve_apps.asgi import Request, Response
from serve_apps.config import PredictorConfig
from serve_apps.http import Endpoint
from serve_apps.protocols import schemas
from serve_apps.steering import Steering

_VERSION: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": schemas.LARGEST_VERSION}
_INSTANT: dict[str, Any] = {"type": "string", "format": "date-time"}
QUERY: dict[str, dict[str, Any]] = {
    "version": {**_VERSION, "description": "Left out: the candidate on trial, or of the last turn"},
    "against": {**_VERSION, "description": "Left out: whichever it was tried beside"},
    "since": {**_INSTANT, "description": "Events from here on; left out: what the version was trained until"},
    "until": {**_INSTANT, "description": "The last event, and the last label that counts; left out: all"},
}
MAX_DIGITS = 9
RETRY_AFTER_S = 5.0


class Comparing:
    """The handler of `v1/comparison`; one at a time in a replica, because each reads whole tables."""

    def __init__(self, config: PredictorConfig, steering: Steering) -> None:
        self._config, self._steering = config, steering
        self._one = asyncio.Lock()

    def endpoint(self) -> Endpoint:
        """What it answers, and to whom."""
        return Endpoint(
            method="GET",
            path="/v1/comparison",
            action=Action.READ_PREDICTION,
            handler=self.compare,
            summary="Two versions on the same live rows: agreement, distance, times, errors, losses, slices",
            query=QUERY,
            headers=schemas.TIMEOUT,
        )

    async def compare(self, request: Request) -> Response:
        """The figures, of all that is in the lake by now."""
        asked = replace(asked_of(request.parameters, self._config.lake_uri), task=self._config.contract.task)
        if self._one.locked():
            raise OverloadedError.retry_after("This replica compares for somebody else; ask again.", RETRY_AFTER_S)
        async with self._one:
            left_s = request.deadline_s - time.perf_counter()
            found = await self._steering.compare(asked, self._config.contract.columns, timeout_s=left_s)
        return Response.of({"workload": self._config.workload, **found.to_json()})


def asked_of(parameters: Mapping[str, str], lake_uri: str) -> AskedComparison:
    """What the address asks; MalformedError for a version that is no number, ContractError for a time that is none."""
    version, against = (_number(parameters, name) for name in ("version", "against"))
    since, until = (
        None if parameters.get(name) is None else instant(parameters[name], where=f"The query's {name!r}")
        for name in ("since", "until")
    )
    return AskedComparison(lake_uri=lake_uri, version=version, against=against, since=since, until=until)


def _number(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    # Python reads other alphabets' digits, and refuses thousands of them with an error of its own.
    if not (text.isascii() and text.isdecimal()) or len(text) > MAX_DIGITS or int(text) < 1:
        raise MalformedError(f"The query's {name!r} must be the number of a version; got {text!r:.80}.")
    return int(text)
