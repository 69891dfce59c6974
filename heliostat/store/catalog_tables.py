"""The catalog's tables, for SQLite and PostgreSQL alike."""

from sqlalchemy import Boolean, Column, Float, Integer, MetaData, String, Table, Text, UniqueConstraint

from heliostat.store.canonical import Instant, JsonText

metadata = MetaData()

# Text is parsed row by row, so that a row which cannot be read is named.
journal = Table(
    "journal",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("by", String, nullable=False),
    Column("kind", String, nullable=False, index=True),
    Column("workload", String, index=True),
    Column("payload", Text, nullable=False),
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
)

# One row: the end of the chain. Locking it puts all changes in one order, and it shows when the last rows are cut off.
chain_head = Table(
    "chain_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", Integer, nullable=False),
    Column("hash", String, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("workload", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("run_id", String, nullable=False),
    Column("candidate", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("bundle_uri", String, nullable=False),
    Column("bundle_hash", String, nullable=False),
    Column("lineage", JsonText, nullable=False),
    Column("scores", JsonText, nullable=False),
    Column("by", String, nullable=False),
    Column("at", Instant, nullable=False),
    UniqueConstraint("workload", "run_id", "candidate"),
)

# Aliases are columns of the route, so that the two cannot disagree.
routes = Table(
    "routes",
    metadata,
    Column("workload", String, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("champion", Integer),
    Column("candidate", Integer),
    Column("previous", Integer),
    Column("share", Float, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("workload", String, nullable=False, index=True),
    Column("job", String, nullable=False),
    Column("params", JsonText, nullable=False),
    Column("status", String, nullable=False),
    Column("result", JsonText),
    Column("by", String, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

states = Table(
    "states",
    metadata,
    Column("workload", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", JsonText, nullable=False),
    Column("at", Instant, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("key_id", String, primary_key=True),
    Column("hash", String, nullable=False),
    Column("role", String, nullable=False),
    Column("name", String, nullable=False),
    Column("workload", String),
    Column("is_active", Boolean, nullable=False),
    Column("requests_per_s", Float),
    Column("burst_requests", Integer),
    Column("may_label", Boolean),
)

applications = Table(
    "applications",
    metadata,
    Column("workload", String, primary_key=True),
    Column("config", JsonText, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("at", Instant, nullable=False),
)

# The record is the truth; what stands beside it is what rows are looked for by.
answer_jobs = Table(
    "answer_jobs",
    metadata,
    Column("workload", String, primary_key=True),
    Column("job_id", String, primary_key=True),
    Column("by", String, nullable=False, index=True),
    Column("status", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("needs_care", Boolean, nullable=False, index=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("record", JsonText, nullable=False),
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("workload", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("secret", String, nullable=False),
)
