"""Classes and quantities all the way round on a real cluster: trained, served, labelled, trained again."""

import httpx
import pytest

from heliostat.store.lake import Lake
from heliostat.store.schema import label_schema
from tests import toy_kinds
from tests.cluster.conftest import Installation

MODULE_BY_NAME = {"wear": "tests.toy_wear", "cause": "tests.toy_cause"}
SINCE, LATER, NUM_ROWS = "2024-03-01", "2024-03-20", 200


def together(installation: Installation, verb: str, options_by_name: dict[str, list[str]]) -> dict[str, dict]:
    """One job a workload, side by side, and their results."""
    jobs = {
        name: installation.start_job(verb, MODULE_BY_NAME[name], *options) for name, options in options_by_name.items()
    }
    return {name: installation.result(job) for name, job in jobs.items()}


def asked(installation: Installation, name: str) -> tuple[dict, int]:
    """The answers to some rows of March, whose labels are told then; how many were accepted."""
    rows = [
        {
            "reading": f"r-{number}",
            "read_at": f"2024-03-{1 + number % 9:02d}T10:00:00Z",
            "checked_by": f"2024-03-{3 + number % 9:02d}T10:00:00Z",
            "load_percent": number % 95,
            "temperature_c": 12.0,
            "site": "alpha",
        }
        for number in range(NUM_ROWS)
    ]
    address = f"http://127.0.0.1:{installation.settings.ports.http}/{name}"
    with httpx.Client(headers={"Authorization": f"Bearer {installation.key('caller')}"}, timeout=60.0) as client:
        answer = client.post(f"{address}/v1/predict", json={"rows": rows}).raise_for_status().json()
        labels = [
            {"id": identifier, "value": value, "at": row["checked_by"]}
            for identifier, value, row in zip(answer["ids"], answer["predictions"], rows, strict=True)
        ]
        told = client.post(f"{address}/v1/labels", json={"labels": labels}).raise_for_status().json()
        described = client.get(f"{address}/v2/models/{name}").raise_for_status().json()
    assert {one["name"] for one in described["outputs"]} >= set(getattr(toy_kinds, name).task.told_types)
    return answer, told["accepted"]


@pytest.mark.ray
def test_classes_and_quantities_go_all_the_way_round(installation: Installation, wait_until):
    for module in MODULE_BY_NAME.values():
        installation.run("deploy", module, "--clock", "replayed")
    together(installation, "ingest", {name: ["--until", SINCE] for name in MODULE_BY_NAME})
    first = {name: ["--as-of", SINCE, "--run", f"{name}-first"] for name in MODULE_BY_NAME}
    together(installation, "train", first)
    promoted = together(installation, "promote", {name: ["--as-of", SINCE] for name in MODULE_BY_NAME})
    assert {one["verdict"] for one in promoted.values()} == {"promote"}, promoted
    lake = Lake(installation.settings.lake_uri)
    for name in MODULE_BY_NAME:
        answer, num_accepted = asked(installation, name)
        assert num_accepted == NUM_ROWS
        assert answer["model_version"] == promoted[name]["version"]
        wait_until(lambda name=name: lake.read(name, "labels", schema=label_schema()).num_rows == NUM_ROWS, 60)
    again = {name: ["--as-of", LATER, "--run", f"{name}-again"] for name in MODULE_BY_NAME}
    judged = together(installation, "retrain", again)
    for name, result in judged.items():
        task = getattr(toy_kinds, name).task
        assert set(result["scores"]) == {metric.name for metric in task.metrics}
        # The hold-out is the newest week of rows: those that were answered and labelled here, and nothing else.
        assert result["holdout_rows"] > 100, result
