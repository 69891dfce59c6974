"""What a person needs when the run is over: addresses, a key, a line that works when pasted, and how to stop."""

import json
import shlex
import urllib.error
import urllib.request
from typing import Any

from heliostat.errors import ClusterError
from heliostat.settings import Settings
from heliostat.store.lake import Lake
from heliostat.store.schema import raw_schema
from heliostat.workload import Workload
from jobs import _local_keys

TIMEOUT_S = 30.0


def text(settings: Settings, workload: Workload) -> str:
    """Addresses, the caller's key, a curl line, and how to stop."""
    url = f"{settings.http_url}/{workload.name}"
    body = shlex.quote(json.dumps({"rows": [example_row(settings, workload)]}))
    return "\n".join(
        [
            f"endpoint   {url}/v1/predict   (health: {url}/v2/health/ready)",
            f"dashboard  {settings.dashboard_url}   (token in {settings.token_path})",
            f"API key    {_local_keys.read(settings, 'caller')}   (role caller; others in {settings.keys_dir})",
            "",
            f"curl -s {url}/v1/predict -H 'Authorization: Bearer {_local_keys.read(settings, 'caller')}' \\",
            f"  -H 'Content-Type: application/json' -d {body}",
            "",
            "make status shows how it is doing; make down stops it.",
        ]
    )


def example_row(settings: Settings, workload: Workload) -> dict[str, Any]:
    """The newest raw row as a caller would send it."""
    rows = Lake(settings.lake_uri).read(workload.name, "raw", schema=raw_schema(workload.columns))
    if rows.num_rows == 0:
        raise ClusterError(f"The lake has no row of {workload.name!r} yet: run jobs.ingest first.")
    newest = rows.sort_by([("event_at", "descending"), ("key", "descending")]).slice(0, 1).to_pylist()[0]
    inputs = {column.name: newest[column.name] for column in workload.columns if newest[column.name] is not None}
    return {
        workload.key: f"example-{newest['key']}",
        workload.event_time: newest["event_at"].isoformat(),
        **({workload.due_time: newest["due_at"].isoformat()} if workload.due_time else {}),
        **inputs,
    }


def ask_once(settings: Settings, workload: Workload) -> dict[str, Any]:
    """One real answer over HTTP; ClusterError with the answer's own words when there is none."""
    request = urllib.request.Request(
        f"{settings.http_url}/{workload.name}/v1/predict",
        data=json.dumps({"rows": [example_row(settings, workload)]}).encode(),
        headers={"Authorization": f"Bearer {_local_keys.read(settings, 'caller')}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return dict(json.loads(response.read()))
    except urllib.error.HTTPError as error:
        raise ClusterError(f"The endpoint answered {error.code}: {error.read().decode(errors='replace')}") from error
    except urllib.error.URLError as error:
        raise ClusterError(f"The endpoint {request.full_url} cannot be reached: {error.reason}") from error
