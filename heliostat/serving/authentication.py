"""Who calls: a bearer key checked against the keys that a replica was given. No store is asked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from heliostat.errors import AccessError
from heliostat.records import KeyRecord, key_id
from heliostat.serving.problem import ForbiddenError

SCHEME = "Bearer"
_HOW = f"Send the header `Authorization: {SCHEME} hel_...` with a key of this installation."


@dataclass(frozen=True)
class Keyring:
    """The keys that may call one workload, by their id."""

    workload: str
    record_by_id: Mapping[str, KeyRecord] = field(default_factory=dict)

    @classmethod
    def of(cls, workload: str, records: Iterable[KeyRecord]) -> "Keyring":
        """The keyring of a workload; keys of other workloads stay in it, to be told from unknown ones."""
        return cls(workload, {record.key_id: record for record in records})

    def caller(self, authorization: str | None) -> KeyRecord:
        """The record of the key in an Authorization header.

        AccessError when there is no key or an unknown one, ForbiddenError when it belongs to another workload.
        """
        record = self._record(_plaintext(authorization))
        if record.workload not in (None, self.workload):
            raise ForbiddenError(
                f"Key {record.key_id} is for workload {record.workload!r}, not for {self.workload!r}; "
                "use a key of this one."
            )
        return record

    def _record(self, plaintext: str) -> KeyRecord:
        identifier = key_id(plaintext)
        record = None if identifier is None else self.record_by_id.get(identifier)
        # One message for both, so that nobody learns which ids exist.
        if record is None or not record.matches(plaintext):
            raise AccessError(f"The key is unknown or was revoked. {_HOW}")
        return record


def _plaintext(authorization: str | None) -> str:
    if authorization is None:
        raise AccessError(f"No key was sent. {_HOW}")
    scheme, _, plaintext = authorization.partition(" ")
    if scheme.lower() != SCHEME.lower():
        # What was sent may be a secret, so only its scheme is repeated.
        raise AccessError(f"The authorization scheme must be {SCHEME}; got {scheme[:20]!r}. {_HOW}")
    return plaintext.strip()
