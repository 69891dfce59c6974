"""A replay while everything is killed in turn: nothing acknowledged is lost, and the turn goes on."""

import os
import signal
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from heliostat.store.lake import Lake
from tests.cluster.conftest import Installation

MODULE, NAME = "tests.two_weeks", "two-weeks"
SINCE, UNTIL = "2013-03-01", "2013-03-15"
Wait = Callable[[Callable[[], object], float], object]


@pytest.fixture(scope="module")
def killed(installation: Installation) -> dict:
    """The result of the replay, with the names of what was killed while it ran."""
    installation.bring_up(MODULE, since=SINCE)
    replay = installation.start_job("replay", MODULE, "--since", SINCE, "--until", UNTIL)
    return {"replay": replay, "killed": []}


def _kill(installation: Installation, title: str, wait_until: Wait, *, timeout_s: float = 180.0) -> None:
    (pid, *_) = wait_until(lambda: installation.pids(title), timeout_s)
    os.kill(pid, signal.SIGKILL)


def _num_committed(installation: Installation) -> int:
    rows = Lake(installation.settings.lake_uri).read(NAME, "predictions", columns=["id"], schema=_ids())
    return rows.num_rows


def _ids() -> pa.Schema:
    return pa.schema([("id", pa.string())])


@pytest.mark.ray
def test_nothing_is_lost_while_every_part_is_killed(installation, killed, wait_until):
    # each part is killed while rows flow, about a replayed day apart; the worker when the turn trains
    for number, title in enumerate(
        (f"ray::ServeReplica:{NAME}", "ray::Recorder", "ray::Monitor", "ray::Steward"), start=1
    ):
        wait_until(lambda number=number: _num_committed(installation) > 700 * number, 240.0)
        _kill(installation, title, wait_until)
        killed["killed"].append(title)
    for title in ("ray::RayTrainWorker", "python -m jobs.retrain"):
        _kill(installation, title, wait_until)
        killed["killed"].append(title)
    result = installation.result(killed["replay"], timeout_s=600.0)
    killed["result"] = result
    assert len(killed["killed"]) == 6
    assert result["failures"] == {}
    assert result["num_failed"] == 0
    assert result["num_answered"] == result["num_requests"] > 4000


@pytest.mark.ray
def test_every_acknowledged_prediction_and_label_is_in_the_lake_exactly_once(installation, killed):
    lake = Lake(installation.settings.lake_uri)
    predictions, labels = lake.read(NAME, "predictions"), lake.read(NAME, "labels")
    asked = predictions.filter(pc.starts_with(predictions["request_id"], "replay/"))
    assert asked.num_rows == killed["result"]["num_rows"]
    assert pc.count_distinct(predictions["id"]).as_py() == predictions.num_rows
    assert pc.count_distinct(labels["id"]).as_py() == labels.num_rows == killed["result"]["num_labels"]


@pytest.mark.ray
def test_the_turn_went_on_and_every_promotion_is_explained(installation, killed):
    (turn,) = installation.in_catalog(f"catalog.get_state({NAME!r}, 'turns')")["turns"]
    assert turn["outcome"] in ("promoted", "held", "rolled_back")
    assert turn["attempt"] == 2  # the killed driver's job was started again, under the same run
    assert installation.in_catalog("catalog.verify()") > 0
    kinds = "('version_promoted', 'run_ended', 'judged')"
    entries = installation.in_catalog(
        f"[[e.kind, e.by, e.payload] for e in catalog.entries({NAME!r}) if e.kind in {kinds}]"
    )
    explained = {
        payload["version"] for kind, _, payload in entries if kind == "judged" and payload["verdict"] == "promote"
    }
    explained |= {
        payload["result"]["version"]
        for kind, _, payload in entries
        if kind == "run_ended" and payload["result"].get("verdict") == "promote"
    }
    promoted = [payload["version"] for kind, _, payload in entries if kind == "version_promoted"]
    assert promoted
    assert set(promoted) <= explained
