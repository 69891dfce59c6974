from datetime import UTC, datetime
from pathlib import Path

import pytest

from heliostat.errors import NotFoundError
from heliostat.records import key_hash, key_id
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
