"""The environment of Ray: every variable that this project sets, with its reason.

The only module of this package that reads or writes `os.environ`. All names are Ray 2.60.0's own.

Ray's embedded store for the head (`RAY_gcs_storage=rocksdb`) is not set: it lets a head come back on another
process with its actors, which a local cluster never asks for, because what must last is in our own stores.
"""

import contextlib
import os
import secrets
import sys
import tempfile
from pathlib import Path

from cluster.ingress import hooks_dir, ingress_environment
from heliostat.settings import Settings

CLUSTER_ID_VARIABLE = "HELIOSTAT_CLUSTER_ID"


def ray_environment(settings: Settings) -> dict[str, str]:
    """Every variable for `ray start`, for its processes, and for programs that connect to it."""
    return {
        **client_environment(settings),
        **_local_environment(settings),
        **performance_environment(),
        **ingress_environment(settings),
    }


def client_environment(settings: Settings) -> dict[str, str]:
    """The variables that a program needs to reach the cluster; jobs inherit them from it."""
    return {
        "HELIOSTAT_HOME": str(settings.home),
        "HELIOSTAT_BASE_PORT": str(settings.base_port),
        # Said outright, because unset means "token if a token file happens to be in the user's home".
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(settings.token_path),
        # Ray turns 127.0.0.1 into the machine's outer address unless this says "no cluster of several hosts",
        # whatever the system; with it, nothing of Ray listens on another interface.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # Lines that look alike are still different lines: a log that drops some is no evidence.
        "RAY_DEDUP_LOGS": "0",
        # `fit` prints its table of usage otherwise, and nothing may leave this machine unasked.
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray Tune prints a box otherwise that names a folder for TensorBoard which is gone when the search ends.
        "RAY_AIR_NEW_OUTPUT": "0",
    }


def child_environment(settings: Settings, *, cluster_id: str) -> dict[str, str]:
    """The whole environment of the head process: this process's own, without its Ray settings, plus ours."""
    # A RAY_* variable of the caller's shell (an address, another token) would change the cluster silently.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    interpreter_dir = str(Path(sys.executable).parent)
    return {
        **inherited,
        **ray_environment(settings),
        # `python` in a job's command line must mean the interpreter that has Ray.
        "PATH": os.pathsep.join([interpreter_dir, inherited.get("PATH", os.defpath)]),
        # Serve's proxies import the gRPC service by name, without any application's code.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(hooks_dir(settings)), inherited.get("PYTHONPATH")])),
        CLUSTER_ID_VARIABLE: cluster_id,
    }


def enter_client_environment(settings: Settings) -> None:
    """Make this process a client of the cluster; Ray reads the token from the environment only."""
    os.environ.update(client_environment(settings))
    # A proxy meant for the outer world must not be asked for, or shown, what goes to this machine.
    os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))


def inside_cluster() -> bool:
    """True in a job's driver and in every process that the cluster itself started."""
    return CLUSTER_ID_VARIABLE in os.environ


def cluster_address(settings: Settings) -> str:
    """The address to connect to: what Ray told this process, or else the local head."""
    return os.environ.get("RAY_ADDRESS") or f"127.0.0.1:{settings.ports.gcs}"


def ensure_token(settings: Settings) -> str:
    """The cluster's token; made on the first call, readable by the owner alone."""
    # Ray's own `get-auth-token --generate` refuses a path that is not there yet.
    if not settings.token_path.exists():
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Readable by the owner from the start, and in place once it is whole; of two at once the first counts.
        with tempfile.NamedTemporaryFile("w", dir=settings.home, prefix="token-") as partial:
            partial.write(secrets.token_hex(32))
            partial.flush()
            with contextlib.suppress(FileExistsError):
                os.link(partial.name, settings.token_path)
    return settings.token_path.read_text().strip()


def _local_environment(settings: Settings) -> dict[str, str]:
    ports = settings.ports
    return {
        # Two metrics listeners of the head with fixed default ports: a second cluster would lose them.
        "AUTOSCALER_METRIC_PORT": str(ports.base + 15),
        "DASHBOARD_METRIC_PORT": str(ports.base + 16),
        # On a busy laptop a raylet may need longer than the default to register.
        "RAY_raylet_start_wait_time_s": "120",
        # Ray's processes write their title over their environment otherwise, and `stop` could not tell whose they are.
        "SPT_NOENV": "1",
        # A job that is told to end may write a checkpoint first; default 3 s.
        "RAY_JOB_STOP_WAIT_TIME_S": "10",
        # No Grafana here: its tab would only show errors.
        "RAY_GRAFANA_HOST": "DISABLED",
    }


def performance_environment() -> dict[str, str]:
    """What makes Ray's own parts lighter or quicker on a small cluster."""
    return {
        # Default = number of CPUs; a shuffle then kills and restarts idle workers each time (10 s against 2 s).
        "RAY_num_workers_soft_limit": "12",
        # Default 32 actors read Parquet footers however few files there are (3 s against 1 s).
        "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS": "1",
        # `ray.train.report()` returns at most once per interval; default 2 s is long for a short epoch.
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.3",
        # Time lost when an elastic worker group cannot be placed; default 60 s.
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "30",
        # An actor for every start of workers (2 s of CPU) that watches for nodes which a cloud takes back: not here.
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
        # What a search knows is stored this often; a driver that is killed loses no more. Default 10 s and above.
        "TUNE_GLOBAL_CHECKPOINT_S": "2",
        # Storing it at every epoch is meant, and small: no warning about it.
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
        # A trial that was told to make room and does not end is killed after so long; its checkpoint lies stored.
        # Default ten minutes, in which its place is nobody's.
        "TUNE_FORCE_TRIAL_CLEANUP_S": "20",
        # Default 15 starves Ray's workers beside any other program; HAProxy and replicas must be equals.
        "RAY_worker_niceness": "0",
    }
