"""Whose labels neither teach nor judge: what the journal holds of suspicions, and of what people decided about them.

Reads:  catalog: journal
Writes: catalog: journal, where a suspicion is new
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from heliostat.govern.quarantine import KEPT_OUT, RELEASED, SUSPECTED, is_new, quarantined
from heliostat.govern.screen import Suspicion, Told, suspicions
from heliostat.records import Lease
from heliostat.store.catalog import Catalog
from heliostat.watch.gauges import Measurement
from heliostat.watch.suspected_labels import measured_suspicions


def suspected(
    catalog: Catalog,
    workload: str,
    told: Sequence[Told],
    *,
    max_contradicted: float | None,
    by: str,
    lease: Lease | None = None,
) -> list[Suspicion]:
    """The suspicions about what sources told that are news; each is in the journal then, and holds from there on."""
    said = decided(catalog, workload)
    news: list[Suspicion] = []
    for found in suspicions(told, max_contradicted=max_contradicted):
        payload = found.to_json()
        if is_new(payload, said):
            catalog.append(SUSPECTED, workload, payload, by=by, at=datetime.now(UTC), lease=lease)
            said.append((SUSPECTED, payload))
            news.append(found)
    return news


def decided(catalog: Catalog, workload: str) -> list[tuple[str, dict[str, Any]]]:
    """The journal's rows about labels, kind and payload in order."""
    found = [entry for kind in (SUSPECTED, RELEASED, KEPT_OUT) for entry in catalog.entries(workload, kind=kind)]
    return [(entry.kind, dict(entry.payload)) for entry in sorted(found, key=lambda entry: entry.sequence)]


def shut_out(catalog: Catalog, workload: str) -> list[dict[str, str]]:
    """Sources and spans whose labels do not count by now, as `cohorts.without` takes them."""
    spans = [span.to_json() for span in quarantined(decided(catalog, workload))]
    return [{name: span[name] for name in ("source", "since", "until")} for span in spans]


def measured(catalog: Catalog, workload: str) -> list[Measurement]:
    """The same as figures."""
    said = decided(catalog, workload)
    outcomes = [payload["is_shut_out"] for kind, payload in said if kind == SUSPECTED]
    num_sources = len({span.source for span in quarantined(said)})
    return measured_suspicions(
        num_shut_out=sum(outcomes), num_told=len(outcomes) - sum(outcomes), num_sources=num_sources
    )
