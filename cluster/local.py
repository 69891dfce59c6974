"""One Ray head on this machine, loopback only: start it, see whether it is up, stop all of it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cluster import dashboard
from cluster.environment import child_environment, ensure_token
from cluster.ingress import install_hooks, install_launcher
from cluster.preflight import require_room
from cluster.processes import cluster_pids, end, is_alive, is_cluster_process, wait_until_gone
from heliostat.errors import ClusterError
from heliostat.settings import Settings

START_TIMEOUT_S = 120.0
# Ray's own orderly end takes half a minute with Serve; what must last is in the stores, so nobody waits for it.
STOP_GRACE_S = 5.0
KILL_TIMEOUT_S = 5.0
OBJECT_STORE_BYTES = 1_500_000_000
_POLL_S = 0.25
_LOG_TAIL_LINES = 15


@dataclass(frozen=True, kw_only=True)
class LocalCluster:
    """What `cluster.json` says of the cluster that runs."""

    pid: int
    cluster_id: str
    base_port: int
    dashboard_url: str
    started_at: str


def start(settings: Settings) -> LocalCluster:
    """The running cluster of this home; started if there is none, and then answering when this returns."""
    running = _living(settings)
    if running is not None:
        _require_same_ports(running, settings)
        _wait_until_answering(settings, running.pid)
        return running
    stop(settings)  # leftovers of a cluster that died: an orphaned HAProxy would keep its ports for ever
    require_room(settings)
    ensure_token(settings)
    install_launcher(settings)
    install_hooks(settings)
    cluster_id = str(uuid.uuid4())
    pid = _launch(settings, cluster_id=cluster_id)
    try:
        _wait_until_answering(settings, pid)
    except BaseException:
        stop(settings)
        raise
    return _record(settings, pid=pid, cluster_id=cluster_id)


def stop(settings: Settings) -> None:
    """Nothing of this home's cluster runs any more, and its ports are free; safe to repeat."""
    # First the record: whoever reads it from now on knows that this cluster is not to be used.
    settings.cluster_file.unlink(missing_ok=True)
    killed = end(cluster_pids(settings.home), grace_s=STOP_GRACE_S)
    # A second look, because a process that was ending may have started one more.
    remaining = {*killed, *cluster_pids(settings.home)}
    end(remaining, grace_s=0.0)
    stuck = wait_until_gone(remaining, timeout_s=KILL_TIMEOUT_S)
    if stuck:
        raise ClusterError(f"Processes {stuck} did not end, even killed: look at them with `ps`, then repeat.")
    # Another home may have a cluster on the same ports by now; its files are not ours to remove.
    if _owner_file(settings).exists() and _owner_file(settings).read_text() == str(settings.home):
        shutil.rmtree(settings.ray_temp_dir, ignore_errors=True)


def is_up(settings: Settings) -> bool:
    """True if the cluster of this home runs and its dashboard accepts our token."""
    return _living(settings) is not None and _answers(settings)


def read(settings: Settings) -> LocalCluster | None:
    """The record of the cluster, or None if none was started, or it was stopped."""
    if not settings.cluster_file.exists():
        return None
    return LocalCluster(**json.loads(settings.cluster_file.read_text()))


def start_command(settings: Settings) -> list[str]:
    """The command line of the head: every port is ours, and only loopback is bound."""
    ports = settings.ports
    numbers = {
        "port": ports.gcs,
        "dashboard-port": ports.dashboard,
        "ray-client-server-port": ports.ray_client,
        "metrics-export-port": ports.metrics_export,
        "dashboard-agent-listen-port": ports.agent_http,
        "dashboard-agent-grpc-port": ports.agent_grpc,
        "runtime-env-agent-port": ports.runtime_env_agent,
        "node-manager-port": ports.node_manager,
        "object-manager-port": ports.object_manager,
        "min-worker-port": ports.workers[0],
        "max-worker-port": ports.workers[1],
        "num-cpus": max(2, len(os.sched_getaffinity(0))),  # with one, training and its rows wait for each other
        "object-store-memory": OBJECT_STORE_BYTES,
    }
    options = [f"--{name}={number}" for name, number in numbers.items()]
    loopback = ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--include-dashboard=true"]
    files = [f"--temp-dir={settings.ray_temp_dir / 'r'}", "--disable-usage-stats"]
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    return [*ray, "start", "--head", "--block", *loopback, *options, *files]


def _launch(settings: Settings, *, cluster_id: str) -> int:
    log_path = settings.home / "logs" / "ray.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    _make_private(settings.ray_temp_dir)
    _owner_file(settings).write_text(str(settings.home))
    with log_path.open("wb") as log:
        return subprocess.Popen(
            start_command(settings),
            cwd=settings.home,
            env=child_environment(settings, cluster_id=cluster_id),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # closing the terminal, or Ctrl-C in it, must not end the cluster
        ).pid


def _owner_file(settings: Settings) -> Path:
    return settings.ray_temp_dir / "home"


def _make_private(directory: Path) -> None:
    # Ray opens its own directory to every user of the machine, and HAProxy its control socket: a closed parent
    # keeps both ours.
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if directory.stat().st_uid != os.getuid():
        raise ClusterError(f"{directory} belongs to another user: remove it, or choose another HELIOSTAT_BASE_PORT.")
    directory.chmod(0o700)


def _wait_until_answering(settings: Settings, pid: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(settings):
        if not is_alive(pid):
            raise ClusterError(f"Ray ended while starting; the end of its log says: {_log_tail(settings)}")
        if time.monotonic() > deadline:
            raise ClusterError(
                f"Ray did not answer within {START_TIMEOUT_S:.0f} s; the end of its log says: {_log_tail(settings)}"
            )
        time.sleep(_POLL_S)


def _answers(settings: Settings) -> bool:
    try:
        dashboard.request(settings, "/api/version", timeout_s=5.0)
        # The agent starts jobs; it comes up a second after the dashboard.
        socket.create_connection(("127.0.0.1", settings.ports.agent_http), timeout=1.0).close()
    except (ClusterError, OSError):
        return False
    return True


def _record(settings: Settings, *, pid: int, cluster_id: str) -> LocalCluster:
    cluster = LocalCluster(
        pid=pid,
        cluster_id=cluster_id,
        base_port=settings.base_port,
        dashboard_url=settings.dashboard_url,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    partial = settings.cluster_file.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(cluster), indent=2) + "\n")
    partial.replace(settings.cluster_file)
    return cluster


def _living(settings: Settings) -> LocalCluster | None:
    running = read(settings)
    if running is None or not is_cluster_process(running.pid, cluster_id=running.cluster_id):
        return None
    return running


def _require_same_ports(running: LocalCluster, settings: Settings) -> None:
    if running.base_port != settings.base_port:
        raise ClusterError(
            f"The cluster of {settings.home} runs on base port {running.base_port}, not {settings.base_port}: "
            f"use HELIOSTAT_BASE_PORT={running.base_port}, or stop it first with `make down`."
        )


def _log_tail(settings: Settings) -> str:
    log = (settings.home / "logs" / "ray.log").read_text(errors="replace")
    return " | ".join(line for line in log.splitlines()[-_LOG_TAIL_LINES:] if line.strip())
