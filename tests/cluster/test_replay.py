"""A replay repeated gives the same decisions; an ingest repeated adds nothing."""

import pytest

from tests.cluster.conftest import Installation

SINCE, UNTIL = "2024-03-01", "2024-03-22"


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
