"""A planted bad model, a planted slow one and a planted poisoned batch, by the real jobs on a real cluster.

None of them reaches full traffic, and the journal says why.
"""

from pathlib import Path

import httpx
import pyarrow.compute as pc
import pytest

from heliostat.store.lake import Lake
from heliostat.store.schema import label_schema
from tests.cluster.conftest import Installation

MODULE, NAME = "tests.toy_planted", "toy-planted"
SINCE, UNTIL, LATER = "2024-03-01", "2024-04-09", "2024-04-20"
NUM_ROWS = 240


@pytest.fixture(scope="module")
def played(installation: Installation) -> dict:
    """The turns of five weeks, in two of which something was planted."""
    installation.bring_up_once(MODULE, since=SINCE)
    replay = installation.start_job("replay", MODULE, "--since", SINCE, "--until", UNTIL)
    result = installation.result(replay, timeout_s=900.0)
    assert result["num_failed"] == 0
    return {
        "turns": installation.in_catalog(f"catalog.get_state({NAME!r}, 'turns')")["turns"],
        "promoted": said(installation, "version_promoted"),
        "withdrawn": said(installation, "candidate_withdrawn"),
    }


def said(installation: Installation, kind: str) -> list[dict]:
    """What the journal holds of a kind."""
    return installation.in_catalog(f"[e.payload for e in catalog.entries({NAME!r}, kind={kind!r})]")


@pytest.mark.ray
def test_a_planted_bad_model_and_a_planted_slow_one_never_reach_full_traffic(installation, played):
    bad, slow = played["turns"]
    assert (bad["outcome"], slow["outcome"]) == ("rolled_back", "rolled_back"), played["turns"]
    assert "from the champion's on average; on the hold-out it was" in bad["outcome_reasons"][0]
    assert "ms a batch" in slow["outcome_reasons"][0]
    assert [one["version"] for one in played["promoted"]] == [played["promoted"][0]["version"]]
    assert len(played["withdrawn"]) == 2
    rows = Lake(installation.settings.lake_uri).read(NAME, "predictions", columns=["version", "arm", "event_at"])
    for turn in (bad, slow):
        assert (turn["full_at"], turn["canary_at"] is None) == (None, False)
        asked = rows.filter(pc.equal(rows["version"], turn["candidate"]))
        assert set(asked["arm"].to_pylist()) <= {"candidate"}
        assert asked.num_rows < 0.1 * rows.num_rows


@pytest.mark.ray
@pytest.mark.usefixtures("played")
def test_a_planted_poisoned_batch_is_neither_learned_from_nor_judged_by(installation, wait_until):
    made = installation.run("keys", MODULE, "--create", "mallory", "--role", "caller")
    told(installation, mallory=Path(made["file"]).read_text().strip())
    lake = Lake(installation.settings.lake_uri)
    wait_until(lambda: "http/mallory" in lake.read(NAME, "labels", schema=label_schema())["source"].to_pylist(), 60)
    result = installation.run("retrain", MODULE, "--as-of", LATER, "--run", "planted", "--in-doubt")
    [suspected] = said(installation, "labels_suspected")
    assert (suspected["source"], suspected["is_shut_out"]) == ("http/mallory", True)
    shut_out = installation.in_catalog("catalog.run('planted').params['shut_out']")
    assert {span["source"] for span in shut_out} == {"http/mallory"}
    # The newest week is what was just told: with the poisoned half of it nobody could be that good.
    assert result["scores"]["log_loss"] < 0.3
    assert NUM_ROWS // 3 < result["holdout_rows"] < NUM_ROWS
    released = installation.run("quarantine", MODULE, "--release", "http/mallory")
    assert released["shut_out"] == []


@pytest.mark.ray
def test_a_period_of_planted_models_can_be_compared_with_what_else_could_have_been_done(installation, played):
    result = installation.run("replay", MODULE, "--since", SINCE, "--until", UNTIL, "--compare")
    # Nothing planted answered more than its part of a trial, and the first version knows all there is to know.
    assert result["turns"]["loop"] == result["turns"]["even"] == len(played["turns"])
    assert result["score"]["loop"] > result["score"]["never"] - 0.05
    assert set(result["score"]) >= {"never", "loop", "even", "schedule_5%", "schedule_20%_recent"}


def told(installation: Installation, *, mallory: str) -> None:
    """Answers to rows of April, whose labels one key tells as they are and another the other way round."""
    rows = [
        {
            "reading": f"late-{number}",
            "read_at": f"2024-04-{7 + number % 7:02d}T10:00:00Z",
            "checked_by": f"2024-04-{13 + number % 7:02d}T10:00:00Z",
            "load_percent": (10 if number % 4 < 2 else 90) + number % 5,
            "temperature_c": 12.0,
            "site": "alpha",
            "firmware": "week 14",
        }
        for number in range(NUM_ROWS)
    ]
    address = f"http://127.0.0.1:{installation.settings.ports.http}/{NAME}"
    caller = installation.key("caller")
    answer = post(f"{address}/v1/predict", caller, {"rows": rows})
    for place, key in enumerate((caller, mallory)):
        labels = [
            {"id": identifier, "value": int((row["load_percent"] > 50) != bool(place)), "at": row["checked_by"]}
            for identifier, row in list(zip(answer["ids"], rows, strict=True))[place::2]
        ]
        post(f"{address}/v1/labels", key, {"labels": labels})


def post(url: str, key: str, document: dict) -> dict:
    """The answer to what the holder of a key sends."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(url, json=document, headers=headers, timeout=60.0).raise_for_status().json()
