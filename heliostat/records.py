"""Records that cross processes: frozen, picklable, and JSON both ways where they are stored."""

import dataclasses
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, get_args, get_type_hints

from heliostat.errors import ContractError


@dataclass(frozen=True, kw_only=True)
class Record:
    """Base of the records: `from_json(to_json())` gives an equal record."""

    def to_json(self) -> dict[str, Any]:
        """A dict that `json.dumps` takes, instants in ISO 8601."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The record that `to_json` wrote."""
        hints = get_type_hints(cls)
        return cls(**{name: _restored(value, hints.get(name)) for name, value in values.items()})


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return dict(value) if isinstance(value, Mapping) else value


def _restored(value: object, hint: object) -> object:
    is_instant = hint is datetime or datetime in get_args(hint)
    return datetime.fromisoformat(value) if is_instant and isinstance(value, str) else value


PIECE_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class Piece(Record):
    """At most PIECE_ROWS rows that lie together: those from `start` on of one record batch of a file."""

    file: str
    batch: int
    start: int
    num_rows: int


@dataclass(frozen=True, kw_only=True)
class BundleRef(Record):
    """Where a bundle is and the hash over all its files."""

    uri: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class ModelVersion(Record):
    """One trained model of a workload: what it is, where it lies, and what it was made from."""

    workload: str
    number: int
    run_id: str
    candidate: str
    kind: str
    bundle_uri: str
    bundle_hash: str
    lineage: Mapping[str, Any]
    scores: Mapping[str, Any]
    by: str
    at: datetime


def num_learned(lineage: Mapping[str, Any]) -> int:
    """The rows that a version learned from, those of the versions that it goes on from included."""
    return int(lineage["num_rows"]) + int(lineage.get("num_rows_before", 0))


@dataclass(frozen=True, kw_only=True)
class Route(Record):
    """Which versions answer; `epoch` grows with every change, so that an older route can be refused."""

    epoch: int = 0
    champion: int | None = None
    candidate: int | None = None
    previous: int | None = None
    share: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Lease(Record):
    """The right to steer under `name`; `epoch` grows whenever somebody takes it."""

    name: str
    holder: str
    epoch: int
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class JournalEntry(Record):
    """One row of the journal, bound to the row before it by `previous_hash`."""

    sequence: int
    at: datetime
    by: str
    kind: str
    workload: str | None
    payload: Mapping[str, Any]
    previous_hash: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class Run(Record):
    """One job that ran under a name; `status` is "running" until it ended."""

    run_id: str
    workload: str
    job: str
    params: Mapping[str, Any]
    status: str
    result: Mapping[str, Any] | None
    by: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Application(Record):
    """What Serve should run for one workload; `revision` grows with every change."""

    workload: str
    config: Mapping[str, Any]
    revision: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Committed(Record):
    """What one step of the committer moved into the lake; `sequence` is None when there was nothing to move.

    The two watermarks are the latest event time of a prediction and the latest `known_at` of a label in the
    segments of the step, also of rows that were in the lake before.
    """

    sequence: int | None = None
    num_segments: int = 0
    num_predictions: int = 0
    num_shadows: int = 0
    num_labels: int = 0
    num_duplicates: int = 0
    watermark_at: datetime | None = None
    labels_watermark_at: datetime | None = None


# Below one request in eleven days a caller could not be told when to come back; above, a database's integers end.
SLOWEST_PER_S, MOST_REQUESTS = 1e-6, 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class KeyTerms:
    """What a key has of its own: its limit in place of the workload's, and whether it may send labels.

    `may_label` None leaves that to the role; False keeps a caller from it, True lets a viewer do it.
    """

    requests_per_s: float | None = None
    burst_requests: int | None = None
    may_label: bool | None = None

    def __post_init__(self) -> None:
        """Refuses a limit that could not be kept."""
        rate, burst = self.requests_per_s, self.burst_requests
        if rate is not None and (isinstance(rate, bool) or not SLOWEST_PER_S <= rate <= MOST_REQUESTS):
            raise ContractError(
                f"requests_per_s must be a number above 0, from {SLOWEST_PER_S:g} to {MOST_REQUESTS:,}, or left out "
                f"for no own limit; got {rate!r}."
            )
        if burst is not None and (rate is None or isinstance(burst, bool) or not 1 <= burst <= MOST_REQUESTS):
            raise ContractError(
                f"burst_requests must be from 1 to {MOST_REQUESTS:,}, and needs requests_per_s; got {burst!r}."
            )


@dataclass(frozen=True, kw_only=True)
class KeyRecord(Record):
    """An API key as replicas hold it: the hash of its secret, never the secret; `KeyTerms` says the last three."""

    key_id: str
    hash: str
    role: str
    name: str
    workload: str | None
    requests_per_s: float | None = None
    burst_requests: int | None = None
    may_label: bool | None = None

    def matches(self, plaintext: str) -> bool:
        """Whether `plaintext` is this key; the comparison takes the same time wherever they differ."""
        return hmac.compare_digest(self.hash, key_hash(plaintext))


KEY_PREFIX = "hel"


def key_id(plaintext: str) -> str | None:
    """The id inside "hel_<id>_<secret>", None when the text has another form."""
    parts = plaintext.split("_")
    return parts[1] if len(parts) == 3 and parts[0] == KEY_PREFIX and all(parts) else None


def key_hash(plaintext: str) -> str:
    """What the catalog stores for a key: one SHA-256, enough because the secret holds 256 random bits."""
    return hashlib.sha256(plaintext.encode()).hexdigest()
