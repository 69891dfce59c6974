"""What is changed in HAProxy's configuration; the template is the installed Ray's own."""

from pathlib import Path

import pytest

from cluster.haproxy_launcher import BUFFER_RULE, RECEIVED_AT_RULE, REQUEST_ID_RULE, adapt, configuration_path

RENDERED = """global
    maxconn 1024
frontend prometheus
    bind :21012
    mode http
frontend http_frontend
    bind 127.0.0.1:21000
    log global
listen stats
  bind *:21011
  stats enable
"""


def test_a_request_gets_its_id_and_time_before_it_is_sent_anywhere() -> None:
    lines = adapt(RENDERED).splitlines()
    first = lines.index("frontend http_frontend") + 2
    assert lines[first : first + 3] == [BUFFER_RULE, REQUEST_ID_RULE, RECEIVED_AT_RULE]


def test_metrics_and_statistics_are_for_this_machine_only() -> None:
    adapted = adapt(RENDERED)
    assert "bind 127.0.0.1:21012" in adapted
    assert "bind 127.0.0.1:21011" in adapted
    assert "bind :" not in adapted
    assert "bind *:" not in adapted


def test_adapting_twice_changes_nothing_more() -> None:
    assert adapt(adapt(RENDERED)) == adapt(RENDERED)


def test_a_configuration_of_another_shape_is_refused_instead_of_served_without_ids() -> None:
    with pytest.raises(ValueError, match="0 places"):
        adapt(RENDERED.replace("frontend http_frontend", "frontend http"))


def test_the_installed_ray_still_renders_the_three_places() -> None:
    import ray

    template = Path(ray.__file__).parent / "serve" / "_private" / "haproxy_templates.py"
    text = template.read_text()
    assert "frontend prometheus\n    bind :{{ config.metrics_port }}\n" in text
    assert "frontend http_frontend\n    bind {{ config.frontend_host }}:{{ config.frontend_port }}\n" in text
    assert "listen stats\n  bind *:{{ config.stats_port }}\n" in text


def test_the_file_is_the_one_that_haproxy_is_told_to_read() -> None:
    arguments = ["/bin/haproxy", "-db", "-f", "/run/haproxy.cfg", "-sf", "17"]
    assert configuration_path(arguments) == Path("/run/haproxy.cfg")
