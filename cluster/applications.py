"""Serve applications, declared through the dashboard's REST API; every call replaces the whole declaration.

One owner, the catalog actor, holds what is declared and calls `apply`.
"""

import time
from typing import Any

from cluster import dashboard, serve_hooks
from heliostat.errors import ClusterError
from heliostat.settings import Settings

_PATH = "/api/serve/applications/"
# A connection that is idle while HAProxy reloads stays with the process before, which knows the replicas of before
# alone: its next request would fail once they are gone. So it is closed before that, 30 s after they were replaced.
# Longer than clients keep idle connections themselves (aiohttp: 15 s), so that they seldom meet one being closed.
KEEP_ALIVE_S = 20
_POLL_S = 0.1
_FAILED = frozenset({"DEPLOY_FAILED", "UNHEALTHY"})
_FAILED_FOR_GOOD_S = 30.0  # a replica that was killed makes its application unhealthy until another is up

Application = dict[str, Any]  # one entry of Serve's own schema, passed through as it is


def declaration(settings: Settings, applications: list[Application], *, request_timeout_s: float) -> dict[str, Any]:
    """The whole of what Serve is told: those applications, on loopback, on this installation's ports."""
    return {
        "proxy_location": "HeadOnly",
        # Replicas bind this host too, so nothing of Serve listens on another interface.
        "http_options": {
            "host": "127.0.0.1",
            "port": settings.ports.http,
            "request_timeout_s": request_timeout_s,
            "keep_alive_timeout_s": KEEP_ALIVE_S,
        },
        "grpc_options": {
            "port": settings.ports.grpc,
            "grpc_servicer_functions": [f"{serve_hooks.MODULE}:{serve_hooks.add_inference_service.__name__}"],
            "request_timeout_s": request_timeout_s,
        },
        "applications": applications,
    }


def declared(settings: Settings) -> list[Application]:
    """The applications as they were last declared."""
    found = details(settings)["applications"].values()
    return [application["deployed_app_config"] for application in found if application["deployed_app_config"]]


def details(settings: Settings) -> dict[str, Any]:
    """Everything that Serve says of itself."""
    answer: dict[str, Any] = dashboard.request(settings, _PATH)
    return answer


def apply(settings: Settings, applications: list[Application], *, request_timeout_s: float = 60.0) -> None:
    """Serve works towards exactly these applications; any other is deleted. Does not wait."""
    body = declaration(settings, applications, request_timeout_s=request_timeout_s)
    # The first call starts Serve and its ingress, which takes seconds.
    dashboard.request(settings, _PATH, method="PUT", body=body, timeout_s=120.0)


def wait_until_running(settings: Settings, name: str, *, timeout_s: float) -> None:
    """Every replica of the application is healthy; raises ClusterError with Serve's own reason if not."""
    deadline, well_at = time.monotonic() + timeout_s, time.monotonic()
    while True:
        application = details(settings)["applications"].get(name)
        if application is not None and application["status"] == "RUNNING":
            return
        now = time.monotonic()
        if application is not None and application["status"] not in _FAILED:
            well_at = now
        if application is None or now > min(deadline, well_at + _FAILED_FOR_GOOD_S):
            raise ClusterError(_reason(name, application, timeout_s=timeout_s))
        time.sleep(_POLL_S)


def _reason(name: str, application: Application | None, *, timeout_s: float) -> str:
    if application is None:
        return f"Serve has no application {name!r}: deploy it first."
    messages = [application["message"]]
    messages += [f"{each['name']}: {each['message']}" for each in application["deployments"].values()]
    said = "; ".join(gist for gist in map(_gist, messages) if gist)
    return f"Application {name!r} is {application['status']}, not running within {timeout_s:.0f} s: {said[:2000]}"


def _gist(message: str) -> str:
    # Serve puts whole tracebacks here: the first line says what failed, the last one why.
    lines = [line.strip() for line in message.splitlines() if line.strip(" :")]
    return " ... ".join([lines[0], lines[-1]]) if len(lines) > 1 else "".join(lines)
