"""A replay repeated gives the same decisions; an ingest repeated adds nothing; what was watched can be scraped."""

import os
import signal

import httpx
import pytest

from tests.cluster.conftest import Installation

SINCE, UNTIL = "2024-03-01", "2024-03-22"

IS_UP = 'heliostat_monitor_up{workload="toy"} 1.0'
NUM_SCRAPES = 10


@pytest.mark.ray
def test_the_same_replay_gives_the_same_decisions(installation: Installation):
    decisions = {}
    for module, name in (("tests.toy", "toy"), ("tests.toy_again", "toy-again")):
        installation.bring_up(module, since=SINCE)
        again = installation.run("ingest", module, "--until", SINCE)
        assert (again["rows"], again["rejected"], again["raw_version"]) == (0, 0, 1)
        result = installation.run("replay", module, "--since", SINCE, "--until", UNTIL)
        assert result["num_failed"] == 0
        turns = installation.in_catalog(f"catalog.get_state({name!r}, 'turns')")["turns"]
        asked = installation.in_catalog(f"[e.payload for e in catalog.entries({name!r}, kind='retrain_asked')]")
        decisions[name] = (
            [
                {key: turn[key] for key in ("turn", "onset_at", "detected_at", "ended_at", "outcome", "candidate")}
                for turn in turns
            ],
            [(ask["detected_at"], ask["onset_at"], len(ask["reasons"])) for ask in asked],
        )
    assert decisions["toy"] == decisions["toy-again"]
    assert decisions["toy"][0], "the replay must contain a turn, or this shows nothing"
    _scrape(installation)


def _scrape(installation: Installation) -> None:
    """The figures are at the ingress, and a scrape is answered in time also when the monitor was just killed."""
    url = f"http://127.0.0.1:{installation.settings.ports.http}/toy/v1/metrics"
    headers = {"Authorization": f"Bearer {installation.key('viewer')}"}
    # Each scrape is answered in time; on a machine with too much to do the monitor may be too late for some.
    for _ in range(NUM_SCRAPES):
        told = httpx.get(url, headers=headers, timeout=5).text
        if IS_UP in told:
            break
    assert IS_UP in told
    assert 'heliostat_drift_population_stability_index{column="site",workload="toy"}' in told
    assert 'heliostat_prediction_latency_seconds_count{version="' in told
    for pid in installation.pids("ray::Monitor"):
        os.kill(pid, signal.SIGKILL)
    answer = httpx.get(url, headers=headers, timeout=5)
    assert answer.status_code == 200
    assert "heliostat_monitor_up" in answer.text
