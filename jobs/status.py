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

from cluster import local
from heliostat.errors import HeliostatError
from heliostat.settings import Settings

TIMEOUT_S = 10.0


def lines(settings: Settings, workload: str) -> list[str]:
    """What to show, one fact a line."""
    running = local.read(settings)
    if running is None or not local.is_up(settings):
        return [f"cluster    down ({settings.home}); `make run` starts it"]
    shown = [f"cluster    up since {running.started_at}, dashboard {settings.dashboard_url}"]
    url = f"{settings.http_url}/{workload}"
    try:
        status = _get(settings, f"{url}/v1/status")
    except (urllib.error.URLError, FileNotFoundError) as error:
        return [*shown, f"endpoint   {url} does not answer ({error}); `make run` deploys it"]
    route, loop = status["route"], status.get("loop") or {}
    shown.append(f"endpoint   {url}: champion {route['champion']}, candidate {route['candidate']}")
    shown.append(f"loop       {loop.get('summary', loop)}")
    return shown


def _get(settings: Settings, url: str) -> dict[str, Any]:
    key = (settings.keys_dir / "viewer").read_text().strip()
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        return dict(json.loads(response.read()))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", nargs="?", default="flights", help="its name (default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        print("\n".join(lines(Settings.from_env(), options.workload)))
    except HeliostatError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
