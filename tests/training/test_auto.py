"""`auto` on a real cluster: both kinds of model are fitted, and whichever wins on the hold-out becomes champion."""

import pytest

MODULE, HASTY = "tests.toy_auto", "tests.toy_auto_hasty"
AS_OF = "2024-03-01"
VERSIONS = (
    "[{'number': v.number, 'kind': v.kind, 'run': v.run_id, 'name': v.candidate} for v in catalog.versions('auto')]"
)


@pytest.mark.ray
def test_whichever_kind_wins_on_the_hold_out_becomes_champion_and_what_the_time_is_too_short_for_is_left_out(
    installation,
):
    installation.run("deploy", MODULE, "--clock", "replayed")
    installation.run("ingest", MODULE, "--until", AS_OF)
    installation.run("train", MODULE, "--as-of", AS_OF, "--run", "both")
    fitted = installation.in_catalog(VERSIONS)
    assert [each["name"] for each in fitted] == ["trees-all", "trees-all-refit", "all", "all-refit"]
    again = {each["kind"]: each["number"] for each in fitted if each["name"].endswith("refit")}
    assert set(again) == {"trees", "network"}
    loss_by_version = {
        number: installation.run("evaluate", MODULE, "--as-of", AS_OF, "--version", str(number))["scores"]["log_loss"]
        for number in again.values()
    }
    winner = min(loss_by_version, key=loss_by_version.__getitem__)
    promoted = installation.run("promote", MODULE, "--as-of", AS_OF)
    assert promoted["verdict"] == "promote", promoted
    assert promoted["champion"] == promoted["version"] == winner
    assert promoted["scores"]["log_loss"] == pytest.approx(loss_by_version[winner])

    installation.run("train", HASTY, "--as-of", AS_OF, "--run", "hasty")
    found = [each["name"] for each in installation.in_catalog(VERSIONS) if each["run"] == "hasty"]
    assert found == ["trees-all", "trees-all-refit"]
