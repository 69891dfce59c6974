import sqlite3
from datetime import UTC, datetime

import pytest

from heliostat.errors import CatalogError
from heliostat.store.catalog import Catalog
from heliostat.store.journal import GENESIS_HASH, next_entry, verified_end

NOW = datetime(2013, 3, 1, tzinfo=UTC)


def chain(num_rows):
    entries, end = [], (0, GENESIS_HASH)
    for number in range(num_rows):
        entry = next_entry(end, "alert", workload="toy", payload={"number": number}, by="admin", at=NOW)
        entries.append(entry)
        end = (entry.sequence, entry.hash)
    return entries, end


@pytest.fixture
def path(tmp_path):
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def catalog(path):
    catalog = Catalog(f"sqlite:///{path}")
    catalog.create()
    for number in range(5):
        catalog.append("alert", "toy" if number % 2 else None, {"number": number}, by="admin", at=NOW)
    yield catalog
    catalog.close()


def tamper(path, statement):
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()


def test_an_unaltered_chain_ends_where_its_last_row_says():
    entries, end = chain(3)
    assert verified_end(entries) == end
    assert verified_end(entries[2:], (2, entries[1].hash)) == end


def test_the_first_row_is_chained_too():
    entries, _ = chain(2)
    with pytest.raises(CatalogError, match="row 1"):
        verified_end(entries[1:])


def test_the_same_entry_after_another_one_has_another_hash():
    first = next_entry((0, GENESIS_HASH), "alert", workload="toy", payload={}, by="admin", at=NOW)
    other = next_entry((0, "1" * 64), "alert", workload="toy", payload={}, by="admin", at=NOW)
    assert first.hash != other.hash


def test_entries_are_read_in_pages_by_workload_and_kind(catalog):
    catalog.append("retrain", "toy", {}, by="admin", at=NOW)
    assert [entry.sequence for entry in catalog.entries("toy")] == [2, 4, 6]
    assert [entry.sequence for entry in catalog.entries(after_sequence=1, limit=2)] == [2, 3]
    assert [entry.sequence for entry in catalog.entries(kind="retrain")] == [6]


def test_an_untouched_journal_verifies(catalog):
    assert catalog.verify() == 5


@pytest.mark.parametrize(
    "change",
    [
        """payload = '{"number":7}'""",
        "payload = '{'",
        "by = 'nobody'",
        "kind = 'calm'",
        "workload = 'other'",
        "at = '2013-03-02T00:00:00.000000+00:00'",
    ],
)
def test_an_altered_row_is_named(catalog, path, change):
    tamper(path, f"UPDATE journal SET {change} WHERE sequence = 3")
    with pytest.raises(CatalogError, match=r"row 3"):
        catalog.verify()


def test_a_row_altered_with_its_own_hash_breaks_the_next_one(catalog, path):
    forged = next_entry((2, catalog.entries()[1].hash), "alert", workload=None, payload={"number": 9}, by="x", at=NOW)
    tamper(
        path, f"""UPDATE journal SET payload = '{{"number":9}}', by = 'x', hash = '{forged.hash}' WHERE sequence = 3"""
    )
    with pytest.raises(CatalogError, match=r"row 4"):
        catalog.verify()


def test_a_removed_row_is_named(catalog, path):
    tamper(path, "DELETE FROM journal WHERE sequence = 3")
    with pytest.raises(CatalogError, match=r"row 3: it is missing"):
        catalog.verify()


def test_last_rows_that_were_cut_off_are_missed(catalog, path):
    tamper(path, "DELETE FROM journal WHERE sequence = 5")
    with pytest.raises(CatalogError, match=r"row 5.*cut off"):
        catalog.verify()


def test_a_row_written_past_the_catalog_is_found(catalog, path):
    forged = next_entry((5, "0" * 64), "alert", workload=None, payload={}, by="x", at=NOW)
    tamper(
        path,
        "INSERT INTO journal (sequence, at, by, kind, payload, previous_hash, hash) VALUES "
        f"(6, '2013-03-01T00:00:00.000000+00:00', 'x', 'alert', '{{}}', '{forged.previous_hash}', '{forged.hash}')",
    )
    with pytest.raises(CatalogError, match="row 6"):
        catalog.verify()
