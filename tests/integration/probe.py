"""A job and a Serve application of the smallest kind, to see how the cluster treats them."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from ray import serve
from starlette.requests import Request

from cluster import applications, submit
from cluster.connect import connect
from cluster.resources import predictor_actor_options
from heliostat.settings import Settings


@serve.deployment(num_replicas=2, max_ongoing_requests=100)
class Echo:
    """Answers with what it was sent and who it is."""

    def __init__(self) -> None:
        self._user_config: dict[str, Any] = {}

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take over a changed `user_config`."""
        self._user_config = user_config

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer, or die before answering the first request whose id is not in the given directory yet."""
        body = await request.body()
        request_id = request.headers.get("x-request-id")
        seen = Path(body.decode()) / str(request_id) if body else None
        if seen is not None and not any(seen.parent.iterdir()):
            seen.touch()
            os._exit(9)  # as SIGKILL would: nothing is answered, nothing is cleaned up
        was_seen = seen is not None and seen.exists()
        return {"pid": os.getpid(), "id": request_id, "was_seen": was_seen, **self._user_config}


def build(args: dict[str, Any]) -> serve.Application:
    """What Serve imports."""
    return Echo.bind()


def deploy(settings: Settings, *, value: int) -> None:
    """The application runs this job's own code, with that `user_config`."""
    applications.apply(
        settings,
        [
            {
                "name": "echo",
                "route_prefix": "/echo",
                "import_path": "tests.integration.probe:build",
                "runtime_env": {"working_dir": submit.code_package()},
                "deployments": [
                    {
                        "name": "Echo",
                        "num_replicas": 2,
                        "max_surge_percent": 100,
                        "user_config": {"value": value},
                        "ray_actor_options": predictor_actor_options(),
                    }
                ],
            }
        ],
    )
    applications.wait_until_running(settings, "echo", timeout_s=120)


def main(arguments: list[str]) -> None:
    """One result line on what this job was given."""
    settings = Settings.from_env()
    connect(settings)
    if arguments[0] == "fail":
        raise SystemExit("the probe was told to fail")
    if arguments[0] == "deploy":
        deploy(settings, value=1)
    revision = submit.code_revision(submit.code_package())
    print(json.dumps({"home": str(settings.home), "arguments": arguments, "revision": revision}))


if __name__ == "__main__":
    main(sys.argv[1:])
