"""The loop on one screen: what is up, which version answers, where the turn stands.

Reads:  cluster.json; the endpoint's health and v1/status
Writes: nothing
"""

import argparse
import json
import sys
import urllib.error
import urllib.request
from typing import Any

from cluster import applications, local, pooling
from heliostat.errors import ClusterError, HeliostatError
from heliostat.settings import Settings
from jobs import _local_keys
from jobs._turns_text import told

TIMEOUT_S = 10.0


def lines(settings: Settings, workload: str | None = None, *, with_turns: bool = False) -> list[str]:
    """What to show, one fact a line: of one workload, or of all that are deployed."""
    running = local.read(settings)
    if running is None or not local.is_up(settings):
        return [f"cluster    down ({settings.home}); `make run` starts it"]
    shown = [f"cluster    up since {running.started_at}, dashboard {settings.dashboard_url}"]
    deployed = [name for each in applications.declared(settings) for name in pooling.workloads(each)]
    if not deployed and workload is None:
        return [*shown, "endpoint   none; `make run` or jobs.deploy brings one up"]
    for name in sorted(deployed) if workload is None else [workload]:
        shown += _endpoint(settings, name, with_turns=with_turns)
    return shown


def _endpoint(settings: Settings, workload: str, *, with_turns: bool) -> list[str]:
    url = f"{settings.http_url}/{workload}"
    try:
        status = _get(settings, f"{url}/v1/status")
    except (urllib.error.URLError, ClusterError) as error:
        return [f"endpoint   {url} does not answer ({error}); `make run` deploys it"]
    route, loop = status["route"], status.get("loop") or {}
    shown = [
        f"endpoint   {url}: champion {route['champion']}, candidate {route['candidate']}",
        f"loop       {loop.get('summary', loop)}",
    ]
    if loop.get("declined"):
        shown.append(f"           a turn waits: {loop['declined']}")
    return shown + [f"  {line}" for turn in loop.get("turns", []) for line in told(turn) if with_turns]


def _get(settings: Settings, url: str) -> dict[str, Any]:
    key = _local_keys.read(settings, "viewer")
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        return dict(json.loads(response.read()))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", action="store_true", help="the numbers of the last turns, too")
    parser.add_argument("workload", nargs="?", help="its name (default: all that are deployed)")
    options = parser.parse_args(argv)
    try:
        print("\n".join(lines(Settings.from_env(), options.workload, with_turns=options.turns)))
    except HeliostatError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
