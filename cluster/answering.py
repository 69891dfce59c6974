"""Whether a workload can be asked from outside: its route has reached the ingress, and its replicas."""

import http.client
import time
from http import HTTPStatus

from cluster import applications, names
from heliostat.errors import ClusterError
from heliostat.settings import Settings

_POLL_S = 0.1
# While the ingress takes a new configuration, the process before it may accept one more connection.
_TIMES_IN_A_ROW = 2
_ROUTES = "/-/routes"


def wait_until_answering(settings: Settings, workload: str, *, application: str, timeout_s: float) -> None:
    """Who asks for the workload from now on gets its own answer; ClusterError with the last one if that takes longer.

    A workload that has no replica while nobody asks is not woken: then its route alone is looked for.
    """
    deadline, num_answered = time.monotonic() + timeout_s, 0
    path = f"{names.route_prefix(workload)}/v2/health/live" if _has_replicas(settings, application) else _ROUTES
    while num_answered < _TIMES_IN_A_ROW:
        status, text = _get(settings, path)
        is_there = status == HTTPStatus.OK and (path != _ROUTES or f'"{names.route_prefix(workload)}"' in text)
        num_answered = num_answered + 1 if is_there else 0
        if num_answered < _TIMES_IN_A_ROW and time.monotonic() > deadline:
            raise ClusterError(
                f"{settings.http_url}{path} did not answer for {workload!r} within {timeout_s:.0f} s; the last answer "
                f"was {status}: {text[:500]}. See the logs of Serve's controller in the dashboard."
            )
        time.sleep(_POLL_S)


def _has_replicas(settings: Settings, application: str) -> bool:
    deployments = applications.details(settings)["applications"][application]["deployments"].values()
    return any(deployment["replicas"] for deployment in deployments)


def _get(settings: Settings, path: str) -> tuple[int, str]:
    """Status and text; 0 and the reason where nobody answers."""
    # A connection of its own each time, so that each meets the ingress as it is now; proxies of the environment are
    # not asked about this machine.
    connection = http.client.HTTPConnection("127.0.0.1", settings.ports.http, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, f"nobody answers ({error})"
    finally:
        connection.close()
