"""The two contenders that run on Ray, each on a local cluster of its own that is gone afterwards."""

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks.places import ROOT, Places
from cluster import applications, dashboard, local, submit
from cluster.environment import child_environment, ensure_token
from cluster.ingress import hooks_dir, install_hooks
from heliostat.errors import ClusterError
from heliostat.settings import Settings

JOB_TIMEOUT_S = 240.0
RUNNING_TIMEOUT_S = 120.0
# What Heliostat sets beyond Ray's own HAProxy mode: without these the ingress is as Ray ships it.
OURS = (
    "RAY_SERVE_HAPROXY_BINARY_PATH",
    "RAY_SERVE_HAPROXY_RETRY_ON",
    "RAY_SERVE_HAPROXY_RETRIES",
    "RAY_SERVE_HAPROXY_OBSERVE_ERROR_LIMIT",
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE",
    "RAY_SERVE_HAPROXY_MAXCONN",
)


@contextmanager
def heliostat(places: Places, module: str) -> Iterator[Callable[[int], str]]:
    """The whole installation with that module's workload; so many replicas on call, which gives a caller's key."""
    settings = places.settings
    local.start(settings)

    def scale(num_replicas: int) -> str:
        _job(settings, "benchmarks.publish", [module, "--replicas", str(num_replicas)])
        return (settings.keys_dir / "caller").read_text().strip()

    try:
        _job(settings, "jobs.deploy", [module, "--clock", "wall"])
        yield scale
    finally:
        local.stop(settings)


@contextmanager
def bare_ray(places: Places) -> Iterator[Callable[[int], None]]:
    """Ray Serve with one application and nothing of ours but how Ray is started; so many replicas on call."""
    settings = places.bare_settings
    _start_bare(settings)

    def scale(num_replicas: int) -> None:
        application = {
            "name": "bare",
            "route_prefix": "/",
            "import_path": "benchmarks.peers.ray_server:application",
            "args": {"replicas": num_replicas},
        }
        applications.apply(settings, [application])
        applications.wait_until_running(settings, "bare", timeout_s=RUNNING_TIMEOUT_S)

    try:
        yield scale
    finally:
        local.stop(settings)


def _start_bare(settings: Settings) -> None:
    local.stop(settings)
    ensure_token(settings)
    settings.ray_temp_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    (settings.ray_temp_dir / "home").write_text(str(settings.home))  # so that `local.stop` clears it away
    # Every declaration names the gRPC service, which Serve's own processes must find.
    install_hooks(settings)
    path = os.pathsep.join([str(ROOT), str(hooks_dir(settings))])
    environment = child_environment(settings, cluster_id=str(uuid.uuid4())) | {"PYTHONPATH": path}
    with (settings.home / "ray.log").open("wb") as log:
        subprocess.Popen(
            local.start_command(settings),
            cwd=settings.home,
            env={name: value for name, value in environment.items() if name not in OURS},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + local.START_TIMEOUT_S
    while True:
        try:
            dashboard.request(settings, "/api/serve/applications/", timeout_s=5.0)
        except ClusterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def _job(settings: Settings, module: str, arguments: Sequence[str]) -> None:
    tags = submit.JobTags(job_class="benchmark", workload=arguments[0])
    name = f"benchmark-{uuid.uuid4().hex[:8]}"
    submit.submit(settings, module, arguments=list(arguments), submission_id=name, tags=tags, working_dir=ROOT)
    state = submit.wait(settings, name, timeout_s=JOB_TIMEOUT_S)
    if state.status != submit.SUCCEEDED:
        raise ClusterError(f"The job {module} failed: {submit.logs(settings, name)[-3000:]}")
