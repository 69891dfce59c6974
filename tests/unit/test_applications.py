"""One owner holds the whole declaration of Serve: changing one application must keep the others."""

from pathlib import Path

import pytest

from cluster.applications import declaration, merged
from cluster.submit import JobTags, code_revision
from heliostat.errors import ClusterError
from heliostat.settings import Settings

FLIGHTS = {"name": "flights", "route_prefix": "/flights"}
TOY = {"name": "toy", "route_prefix": "/toy"}


def test_a_new_application_is_added_beside_the_others() -> None:
    assert merged([FLIGHTS], TOY) == [FLIGHTS, TOY]


def test_a_changed_application_replaces_the_one_of_its_name_only() -> None:
    changed = TOY | {"import_path": "serve_apps.predictor:build"}
    assert merged([FLIGHTS, TOY], changed) == [FLIGHTS, changed]


def test_serve_listens_on_loopback_and_on_our_port() -> None:
    settings = Settings(home=Path("/tmp/heliostat"), base_port=23000)
    options = declaration(settings, [TOY], request_timeout_s=5.0)["http_options"]
    assert options == {"host": "127.0.0.1", "port": 23000, "request_timeout_s": 5.0}


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
