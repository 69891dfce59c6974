import threading
from datetime import UTC, datetime, timedelta

import pytest

from heliostat.errors import CatalogError, FencedError, NotFoundError
from heliostat.store.catalog import Catalog

NOW = datetime(2013, 3, 1, tzinfo=UTC)
WHO = {"by": "admin", "at": NOW}


@pytest.fixture
def catalog(tmp_path):
    catalog = Catalog(f"sqlite:///{tmp_path / 'new' / 'catalog.sqlite'}")
    catalog.create()
    yield catalog
    catalog.close()


def register(catalog, *, run_id="run-1", candidate="all", **changed):
    content = {
        "kind": "network",
        "bundle_uri": "/bundles/1",
        "bundle_hash": "abc",
        "lineage": {"table_version": 3, "until": NOW},
        "scores": {"log_loss": 0.5},
    }
    return catalog.register("toy", run_id=run_id, candidate=candidate, **(content | changed), **WHO)


def promote(catalog, version, **named):
    return catalog.promote("toy", version, reasons=["better"], inputs={"table_version": 3}, **WHO, **named)


def kinds(catalog):
    return [entry.kind for entry in catalog.entries("toy")]


@pytest.fixture
def three(catalog):
    """Three versions, none of them serving."""
    for number in range(3):
        register(catalog, run_id=f"run-{number}")
    return catalog


def test_versions_are_numbered_per_workload_and_keep_what_they_were_made_from(catalog):
    assert [register(catalog, run_id="run-1"), register(catalog, run_id="run-2")] == [1, 2]
    version = catalog.version("toy", 2)
    assert (version.run_id, version.bundle_hash, version.scores) == ("run-2", "abc", {"log_loss": 0.5})
    assert version.lineage == {"table_version": 3, "until": NOW.isoformat()}
    assert version.at == NOW
    assert [version.number for version in catalog.versions("toy")] == [1, 2]
    assert catalog.versions("other") == []


def test_a_candidate_that_is_registered_again_keeps_its_number_and_its_content(catalog):
    assert register(catalog) == register(catalog, bundle_hash="other") == 1
    assert catalog.version("toy", 1).bundle_hash == "abc"
    assert kinds(catalog) == ["version_registered"]


def test_an_unknown_version_says_which_there_are(three):
    with pytest.raises(NotFoundError, match="1 to 3"):
        three.version("toy", 9)
    with pytest.raises(NotFoundError, match="no version yet"):
        three.promote("other", 1, reasons=[], inputs={}, **WHO)


def test_promotion_moves_the_champion_to_previous_and_ends_the_trial(three):
    assert three.route("toy") == {"epoch": 0, "champion": None, "candidate": None, "previous": None, "share": 0.0}
    promote(three, 1)
    three.set_candidate("toy", 2, share=0.25, **WHO)
    assert three.aliases("toy") == {"champion": 1, "candidate": 2}
    route = promote(three, 2)
    assert route == {"epoch": 3, "champion": 2, "candidate": None, "previous": 1, "share": 0.0}
    assert three.route("toy") == route
    assert three.aliases("toy") == {"champion": 2, "previous": 1}


def test_promoting_the_champion_again_changes_and_journals_nothing(three):
    before = promote(three, 1)
    written = kinds(three)
    assert promote(three, 1) == before
    assert kinds(three) == written


def test_a_promotion_is_explained_by_the_journal(three):
    promote(three, 1)
    (entry,) = three.entries("toy", kind="version_promoted")
    assert (entry.by, entry.at, entry.payload["version"]) == ("admin", NOW, 1)
    assert (entry.payload["reasons"], entry.payload["inputs"]) == (["better"], {"table_version": 3})
    assert (entry.payload["before"]["champion"], entry.payload["after"]["champion"]) == (None, 1)


def test_rollback_swaps_champion_and_previous_and_again_swaps_back(three):
    promote(three, 1)
    promote(three, 2)
    three.set_candidate("toy", 3, share=0.5, **WHO)
    route = three.rollback("toy", reasons=["errors"], **WHO)
    assert (route["champion"], route["previous"], route["candidate"], route["share"]) == (1, 2, None, 0.0)
    assert three.rollback("toy", reasons=["fixed"], **WHO)["champion"] == 2


def test_rollback_without_a_previous_version_is_refused_clearly(three):
    promote(three, 1)
    with pytest.raises(NotFoundError, match="no version served before"):
        three.rollback("toy", reasons=[], **WHO)
    assert three.route("toy")["champion"] == 1


def test_a_trial_can_be_widened_and_withdrawn(three):
    promote(three, 1)
    epochs = [three.set_candidate("toy", 2, share=share, **WHO)["epoch"] for share in (0.1, 0.5, 0.5)]
    assert epochs == [2, 3, 3]
    route = three.set_candidate("toy", None, **WHO)
    assert (route["candidate"], route["share"], route["epoch"]) == (None, 0.0, 4)
    assert three.set_candidate("toy", None, **WHO)["epoch"] == 4
    assert kinds(three)[4:] == ["candidate_set", "candidate_set", "candidate_withdrawn"]


@pytest.mark.parametrize(
    ("version", "share", "why"), [(1, 0.5, "champion is 1"), (2, 1.5, "between 0 and 1"), (None, 0.5, "No candidate")]
)
def test_an_impossible_trial_is_refused(three, version, share, why):
    promote(three, 1)
    with pytest.raises(CatalogError, match=why):
        three.set_candidate("toy", version, share=share, **WHO)
    assert three.route("toy")["epoch"] == 1


def test_there_is_no_trial_without_a_champion(three):
    with pytest.raises(CatalogError, match="champion is None"):
        three.set_candidate("toy", 1, share=0.5, **WHO)


def test_state_and_the_decisions_that_led_to_it_are_stored_together(catalog):
    assert catalog.get_state("toy", "monitor") is None
    catalog.put_state("toy", "monitor", {"offset": 1}, **WHO, journal=[("retrain", {"reason": "drift"})])
    catalog.put_state("toy", "monitor", {"offset": 2}, **WHO)
    assert catalog.get_state("toy", "monitor") == {"offset": 2}
    assert kinds(catalog) == ["retrain"]
    lease = catalog.acquire("monitor", "one", now=NOW, ttl=timedelta(seconds=1))
    catalog.acquire("monitor", "two", now=NOW + timedelta(seconds=2), ttl=timedelta(seconds=1))
    with pytest.raises(FencedError):
        catalog.put_state("toy", "monitor", {"offset": 3}, **WHO, lease=lease, journal=[("retrain", {})])
    assert catalog.get_state("toy", "monitor") == {"offset": 2}
    assert kinds(catalog) == ["retrain"]


def test_what_cannot_be_stored_leaves_nothing_behind(catalog):
    with pytest.raises(CatalogError, match="finite numbers"):
        catalog.put_state("toy", "monitor", {"offset": 1}, **WHO, journal=[("retrain", {"psi": float("nan")})])
    assert catalog.get_state("toy", "monitor") is None
    with pytest.raises(CatalogError, match="without a time zone"):
        catalog.put_state("toy", "monitor", {"offset": 1}, by="admin", at=NOW.replace(tzinfo=None))
    assert catalog.verify() == 0


def test_a_run_starts_ends_and_may_start_again(catalog):
    start = {"job": "train", "params": {"until": NOW}}
    assert catalog.start_run("turn-1", "toy", **start, **WHO).status == "running"
    catalog.start_run("turn-1", "toy", **start, **WHO)
    later = NOW + timedelta(hours=1)
    for _ in range(2):
        run = catalog.end_run("turn-1", status="failed", result={"why": "lost"}, by="admin", at=later)
    assert (run.status, run.result, run.started_at, run.ended_at) == ("failed", {"why": "lost"}, NOW, later)
    assert catalog.start_run("turn-1", "toy", **start, **WHO).ended_at is None
    assert kinds(catalog) == ["run_started", "run_ended", "run_started"]
    assert [run.run_id for run in catalog.runs("toy", status="running")] == ["turn-1"]
    assert catalog.run("turn-1").params == {"until": NOW.isoformat()}
    with pytest.raises(NotFoundError, match="turn-2"):
        catalog.end_run("turn-2", status="failed", **WHO)


def test_applications_are_published_with_a_revision_that_grows_only_by_change(catalog):
    for replicas in (1, 2, 2):
        application = catalog.put_application("toy", {"replicas": replicas}, **WHO)
    assert application.revision == 2
    assert [item.config for item in catalog.applications()] == [{"replicas": 2}]
    catalog.remove_application("toy", **WHO)
    catalog.remove_application("toy", **WHO)
    assert catalog.applications() == []
    assert kinds(catalog) == ["application_put", "application_put", "application_removed"]


def test_a_catalog_opened_again_holds_everything(three):
    promote(three, 1)
    again = Catalog(three.url)
    again.create()
    assert again.route("toy")["champion"] == 1
    assert again.verify() == 4
    again.close()


def test_a_catalog_that_was_never_created_says_so(tmp_path):
    catalog = Catalog(f"sqlite:///{tmp_path / 'none.sqlite'}")
    with pytest.raises(CatalogError, match="Was it created"):
        catalog.route("toy")
    catalog.close()


def test_changes_by_many_threads_and_catalogs_all_count_and_keep_one_chain(three):
    others = [Catalog(three.url) for _ in range(2)]

    def append(catalog, writer):
        for number in range(10):
            catalog.append("alert", "toy", {"number": number}, by=writer, at=NOW)

    writers = [threading.Thread(target=append, args=(other, f"w{i}")) for i, other in enumerate([*others, three])]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    for other in others:
        other.close()
    assert len(three.entries("toy", kind="alert")) == 30
    assert three.verify() == 33


def test_all_of_the_journal_is_read_unless_a_limit_is_given(catalog):
    at = datetime(2024, 3, 1, tzinfo=UTC)
    with catalog._changing(by="test", at=at, lease=None) as change:  # at once: a transaction each takes seconds
        for number in range(1003):
            change.journal("alert", "toy", payload={"number": number})
    assert [entry.payload["number"] for entry in catalog.entries("toy", kind="alert")] == list(range(1003))
    assert len(catalog.entries("toy", kind="alert", limit=2)) == 2
