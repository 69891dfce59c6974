"""One authenticated request to the dashboard of the local cluster, and what its refusals mean."""

import http.client
import json
from http import HTTPStatus
from typing import Any

from heliostat.errors import ClusterError
from heliostat.settings import Settings

_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def token(settings: Settings) -> str:
    """The cluster's token; raises ClusterError where there is none."""
    if not settings.token_path.is_file():
        raise ClusterError(
            f"No Ray token at {settings.token_path}: start the cluster with `make run`, "
            "or set HELIOSTAT_HOME to the home of the one that runs."
        )
    return settings.token_path.read_text().strip()


def authorization(settings: Settings) -> dict[str, str]:
    """The header that lets a request in."""
    return {"Authorization": f"Bearer {token(settings)}"}


def request(settings: Settings, path: str, *, method: str = "GET", body: object = None, timeout_s: float = 30.0) -> Any:
    """The dashboard's JSON answer, or None if it is empty; raises ClusterError on any refusal."""
    text = request_text(settings, path, method=method, body=body, timeout_s=timeout_s)
    return json.loads(text) if text else None


def request_text(
    settings: Settings,
    path: str,
    *,
    method: str = "GET",
    body: object = None,
    timeout_s: float = 30.0,
    absent_is_none: bool = False,
) -> str | None:
    """The dashboard's answer as text; with `absent_is_none`, None where it has no such thing."""
    payload = None if body is None else json.dumps(body)
    status, text = _exchange(settings, path, method=method, payload=payload, timeout_s=timeout_s)
    if status == HTTPStatus.OK:
        return text
    if absent_is_none and status == HTTPStatus.NOT_FOUND:
        return None
    if status in _REFUSED:
        raise ClusterError(
            f"The cluster at {settings.dashboard_url} refused the token in {settings.token_path}: it belongs to "
            "another home; set HELIOSTAT_HOME to that one, or HELIOSTAT_BASE_PORT to the cluster of this one."
        )
    raise ClusterError(f"{method} {settings.dashboard_url}{path} answered {status}: {text[:2000]}")


def _exchange(settings: Settings, path: str, *, method: str, payload: str | None, timeout_s: float) -> tuple[int, str]:
    headers = authorization(settings) | {"Content-Type": "application/json"}
    # Not through urllib: a proxy named in the environment must never see the token.
    connection = http.client.HTTPConnection("127.0.0.1", settings.ports.dashboard, timeout=timeout_s)
    try:
        connection.request(method, path, body=payload, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise ClusterError(
            f"No Ray cluster answers at {settings.dashboard_url} ({error}): start it with `make run`, "
            "or set HELIOSTAT_BASE_PORT to the one that runs."
        ) from error
    finally:
        connection.close()
