"""API keys: shown once, stored as a hash."""

import secrets
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import RowMapping, delete, insert, select, update

from heliostat.errors import CatalogError, NotFoundError
from heliostat.records import KEY_PREFIX, KeyRecord, KeyTerms, key_hash
from heliostat.store.catalog_tables import keys
from heliostat.store.database import Database


class Keys(Database):
    """The catalog's API keys."""

    def create_key(
        self,
        name: str,
        role: str,
        *,
        workload: str | None = None,
        terms: KeyTerms | None = None,
        key_id: str | None = None,
        by: str,
        at: datetime,
    ) -> str:
        """The key itself, "hel_<id>_<secret>", which nobody can read again; without a workload it counts for all.

        With a `key_id` that was given before, that key gets a new secret, so that a request may be repeated whose
        answer was lost; CatalogError when it was revoked meanwhile.
        """
        key_id = key_id or secrets.token_hex(6)
        plaintext = f"{KEY_PREFIX}_{key_id}_{secrets.token_hex(32)}"
        own = asdict(terms or KeyTerms())
        key = KeyRecord(key_id=key_id, hash=key_hash(plaintext), role=role, name=name, workload=workload, **own)
        with self._changing(by=by, at=at) as change:
            before = change.connection.execute(select(keys).where(keys.c.key_id == key_id)).one_or_none()
            if before is not None and not before.is_active:
                raise CatalogError(f"Key {key_id} was made by this request before and is revoked; send a new request.")
            change.connection.execute(delete(keys).where(keys.c.key_id == key_id))
            change.connection.execute(insert(keys).values(**vars(key), is_active=True))
            told = {"key_id": key_id, "name": name, "role": role, **own}
            change.journal("key_created", workload, payload=told)
        return plaintext

    def keys(self, *, active: bool = True) -> list[KeyRecord]:
        """The keys that count now, for the replicas that check them; with active=False the revoked ones."""
        query = select(keys).where(keys.c.is_active == active).order_by(keys.c.key_id)
        with self._reading() as connection:
            return [_record(row._mapping) for row in connection.execute(query)]

    def revoke_key(self, key_id: str, *, by: str, at: datetime) -> None:
        """The key counts no longer; nothing changes when it was revoked before."""
        with self._changing(by=by, at=at) as change:
            row = change.connection.execute(select(keys).where(keys.c.key_id == key_id)).one_or_none()
            if row is None:
                raise NotFoundError(f"There is no key with the id {key_id!r}; the id is the middle part of a key.")
            if not row.is_active:
                return
            change.connection.execute(update(keys).where(keys.c.key_id == key_id).values(is_active=False))
            change.journal("key_revoked", row.workload, payload={"key_id": key_id, "name": row.name})


def _record(values: RowMapping) -> KeyRecord:
    return KeyRecord(**{name: value for name, value in values.items() if name != "is_active"})
