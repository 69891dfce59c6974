from datetime import UTC, datetime, timedelta

import pytest

from heliostat.errors import FencedError
from heliostat.store.catalog import Catalog

NOW = datetime(2013, 3, 1, tzinfo=UTC)
TTL = timedelta(seconds=10)
LATE = NOW + timedelta(seconds=11)


@pytest.fixture
def catalog(tmp_path):
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    catalog.create()
    yield catalog
    catalog.close()


def test_only_one_holds_a_lease_at_a_time(catalog):
    catalog.acquire("steward/toy", "one", now=NOW, ttl=TTL)
    with pytest.raises(FencedError, match="one holds the lease"):
        catalog.acquire("steward/toy", "two", now=NOW + timedelta(seconds=9), ttl=TTL)
    assert catalog.acquire("monitor/toy", "two", now=NOW, ttl=TTL).epoch == 1


def test_an_expired_lease_goes_to_the_next_with_a_higher_epoch(catalog):
    first = catalog.acquire("steward/toy", "one", now=NOW, ttl=TTL)
    second = catalog.acquire("steward/toy", "two", now=first.expires_at, ttl=TTL)
    assert (first.epoch, second.epoch) == (1, 2)
    assert catalog.lease("steward/toy") == second


def test_the_holder_that_takes_its_lease_again_ends_its_own_earlier_life(catalog):
    before = catalog.acquire("steward/toy", "one", now=NOW, ttl=TTL)
    after = catalog.acquire("steward/toy", "one", now=NOW, ttl=TTL)
    catalog.append("alert", "toy", {}, by="one", at=NOW, lease=after)
    with pytest.raises(FencedError, match="epoch 2"):
        catalog.append("alert", "toy", {}, by="one", at=NOW, lease=before)


def test_every_steering_change_of_a_fenced_holder_is_refused_and_changes_nothing(catalog):
    lost = catalog.acquire("steward/toy", "one", now=NOW, ttl=TTL)
    catalog.acquire("steward/toy", "two", now=LATE, ttl=TTL)
    who = {"by": "one", "at": LATE}
    content = {"kind": "network", "bundle_uri": "", "bundle_hash": "", "lineage": {}, "scores": {}}
    for number in (1, 2, 3):
        catalog.register("toy", run_id=f"run-{number}", candidate="all", **content, **who)
    for number in (1, 2):
        catalog.promote("toy", number, reasons=[], inputs={}, **who)
    catalog.start_run("run", "toy", job="train", params={}, **who)
    before, written = catalog.route("toy"), catalog.verify()
    changes = {
        "register": lambda: catalog.register("toy", run_id="r", candidate="c", **content, **who, lease=lost),
        "promote": lambda: catalog.promote("toy", 3, reasons=[], inputs={}, **who, lease=lost),
        "promote again": lambda: catalog.promote("toy", 2, reasons=[], inputs={}, **who, lease=lost),
        "set_candidate": lambda: catalog.set_candidate("toy", 3, share=0.5, **who, lease=lost),
        "rollback": lambda: catalog.rollback("toy", reasons=[], **who, lease=lost),
        "start_run": lambda: catalog.start_run("other", "toy", job="train", params={}, **who, lease=lost),
        "end_run": lambda: catalog.end_run("run", status="done", **who, lease=lost),
        "put_application": lambda: catalog.put_application("toy", {}, **who, lease=lost),
        "remove_application": lambda: catalog.remove_application("toy", **who, lease=lost),
        "append": lambda: catalog.append("alert", "toy", {}, **who, lease=lost),
    }
    for name, change in changes.items():
        with pytest.raises(FencedError):
            pytest.fail(f"{name} went through: {change()}")
    assert (catalog.route("toy"), catalog.verify()) == (before, written)
