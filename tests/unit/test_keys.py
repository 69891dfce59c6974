import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heliostat.errors import CatalogError, ContractError, NotFoundError
from heliostat.records import KeyTerms, key_hash, key_id
from heliostat.store.catalog import Catalog

WHO = {"by": "admin", "at": datetime(2013, 3, 1, tzinfo=UTC)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def catalog(path):
    catalog = Catalog(f"sqlite:///{path}")
    catalog.create()
    yield catalog
    catalog.close()


def test_a_key_opens_with_exactly_its_own_text(catalog):
    plaintext = catalog.create_key("mobile app", "caller", workload="toy", **WHO)
    (key,) = catalog.keys()
    assert key.matches(plaintext)
    assert not key.matches(plaintext[:-1])
    assert not key.matches(plaintext.upper())
    assert not key.matches(catalog.create_key("other", "caller", workload="toy", **WHO))
    assert (key.name, key.role, key.workload, key.key_id) == ("mobile app", "caller", "toy", key_id(plaintext))


def test_the_secret_is_nowhere_in_the_catalog_and_its_hash_not_in_the_journal(catalog, path):
    plaintext = catalog.create_key("mobile app", "caller", **WHO)
    secret = plaintext.split("_")[2].encode()
    catalog.close()
    assert not any(secret in file.read_bytes() for file in Path(path).parent.iterdir())
    (entry,) = catalog.entries(kind="key_created")
    assert key_hash(plaintext) not in str(entry)


def test_a_revoked_key_counts_no_longer_and_the_others_do(catalog):
    first, second = (catalog.create_key(name, "viewer", **WHO) for name in ("first", "second"))
    for _ in range(2):
        catalog.revoke_key(key_id(first), **WHO)
    assert [key.name for key in catalog.keys(active=False)] == ["first"]
    assert [entry.kind for entry in catalog.entries()] == ["key_created", "key_created", "key_revoked"]
    (left,) = catalog.keys()
    assert (left.name, left.matches(second)) == ("second", True)


def test_an_unknown_key_cannot_be_revoked(catalog):
    with pytest.raises(NotFoundError, match="nobody"):
        catalog.revoke_key("nobody", **WHO)


@pytest.mark.parametrize("text", ["", "hel", "hel_a", "hel__b", "xyz_a_b", "hel_a_b_c"])
def test_a_text_of_another_form_has_no_key_id(text):
    assert key_id(text) is None


def test_what_a_key_has_of_its_own_is_stored_and_journalled(catalog):
    catalog.create_key("slow", "viewer", terms=KeyTerms(requests_per_s=0.5, burst_requests=3, may_label=True), **WHO)
    (key,) = catalog.keys()
    assert (key.requests_per_s, key.burst_requests, key.may_label) == (0.5, 3, True)
    (entry,) = catalog.entries(kind="key_created")
    assert entry.payload["burst_requests"] == 3


@pytest.mark.parametrize("own", [{"requests_per_s": 0}, {"requests_per_s": float("nan")}, {"requests_per_s": True},
                                 {"requests_per_s": 5e-324}, {"requests_per_s": 1e300}, {"burst_requests": 3},
                                 {"requests_per_s": 1, "burst_requests": 0},
                                 {"requests_per_s": 1, "burst_requests": 2**40}])  # fmt: skip
def test_a_limit_that_could_not_be_kept_is_refused(own):
    with pytest.raises(ContractError, match=r"requests_per_s|burst_requests"):
        KeyTerms(**own)


def test_a_request_that_is_repeated_makes_one_key_whose_last_secret_counts(catalog):
    lost, told = (catalog.create_key("app", "caller", key_id="a1b2", **WHO) for _ in range(2))
    (key,) = catalog.keys()
    assert (key.matches(lost), key.matches(told)) == (False, True)
    catalog.revoke_key("a1b2", **WHO)
    with pytest.raises(CatalogError, match="revoked"):
        catalog.create_key("app", "caller", key_id="a1b2", **WHO)
    assert catalog.keys() == []


def test_a_catalog_of_an_earlier_program_gets_the_columns_that_it_lacks(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE keys (key_id TEXT PRIMARY KEY, hash TEXT, role TEXT, name TEXT, workload TEXT, is_active INT)"
        )
        connection.execute("INSERT INTO keys VALUES ('a', 'h', 'caller', 'old', NULL, 1)")
        connection.commit()
    catalog = Catalog(f"sqlite:///{path}")
    for _ in range(2):
        catalog.create()
    (old,) = catalog.keys()
    assert (old.name, old.requests_per_s, old.may_label) == ("old", None, None)
    catalog.create_key("new", "caller", terms=KeyTerms(requests_per_s=2.0), **WHO)
    assert len(catalog.keys()) == 2
    catalog.close()
