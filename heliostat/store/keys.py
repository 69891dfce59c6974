"""API keys: shown once, stored as a hash."""

import secrets
from datetime import datetime

from sqlalchemy import RowMapping, insert, select, update

from heliostat.errors import NotFoundError
from heliostat.records import KEY_PREFIX, KeyRecord, key_hash
from heliostat.store.catalog_tables import keys
from heliostat.store.database import Database


class Keys(Database):
    """The catalog's API keys."""

    def create_key(self, name: str, role: str, *, workload: str | None = None, by: str, at: datetime) -> str:
        """The key itself, "hel_<id>_<secret>", which nobody can read again; without a workload it counts for all."""
        key_id = secrets.token_hex(6)
        plaintext = f"{KEY_PREFIX}_{key_id}_{secrets.token_hex(32)}"
        key = KeyRecord(key_id=key_id, hash=key_hash(plaintext), role=role, name=name, workload=workload)
        with self._changing(by=by, at=at) as change:
            change.connection.execute(insert(keys).values(**vars(key), is_active=True))
            change.journal("key_created", workload, payload={"key_id": key_id, "name": name, "role": role})
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
