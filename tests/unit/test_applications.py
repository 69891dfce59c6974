"""What Serve is told, and how code and jobs are named."""

from pathlib import Path

import pytest
from ray.serve._private.constants import RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S

from cluster import applications
from cluster.applications import declaration
from cluster.submit import JobTags, code_revision
from heliostat.errors import ClusterError
from heliostat.settings import Settings

TOY = {"name": "toy", "route_prefix": "/toy"}


def test_serve_listens_on_loopback_and_on_our_port() -> None:
    settings = Settings(home=Path("/tmp/heliostat"), base_port=23000)
    options = declaration(settings, [TOY], request_timeout_s=5.0)["http_options"]
    assert options == {
        "host": "127.0.0.1",
        "port": 23000,
        "request_timeout_s": 5.0,
        "keep_alive_timeout_s": applications.KEEP_ALIVE_S,
    }


def test_an_idle_connection_is_closed_before_the_replicas_that_its_haproxy_knew_are_gone() -> None:
    assert applications.KEEP_ALIVE_S < RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S


def test_serve_is_told_of_the_grpc_service_by_a_name_that_its_own_processes_can_import() -> None:
    settings = Settings(home=Path("/tmp/heliostat"), base_port=23000)
    options = declaration(settings, [TOY], request_timeout_s=5.0)["grpc_options"]
    assert options["grpc_servicer_functions"] == ["heliostat_serve_hooks:add_inference_service"]
    assert (options["port"], options["request_timeout_s"]) == (23001, 5.0)


def test_a_code_revision_is_the_hash_in_the_name_of_the_package() -> None:
    assert code_revision("gcs://_ray_pkg_2f6e159532fd0713.zip") == "2f6e159532fd0713"


def test_a_directory_is_not_a_code_package() -> None:
    with pytest.raises(ClusterError, match="/srv/project"):
        code_revision("/srv/project")


def test_the_tags_of_a_job_are_text() -> None:
    tags = JobTags(job_class="retrain", workload="flights", turn="turn-3", attempt=2).metadata()
    assert tags == {"class": "retrain", "workload": "flights", "turn": "turn-3", "attempt": "2"}
