"""Whose labels neither teach nor judge: what the journal holds of suspicions, and of what people decided about them.

Reads:  catalog: journal
Writes: nothing
"""

from typing import Any

from heliostat.govern.quarantine import KEPT_OUT, RELEASED, SUSPECTED, quarantined
from heliostat.store.catalog import Catalog


def decided(catalog: Catalog, workload: str) -> list[tuple[str, dict[str, Any]]]:
    """The journal's rows about labels, kind and payload in order."""
    found = [entry for kind in (SUSPECTED, RELEASED, KEPT_OUT) for entry in catalog.entries(workload, kind=kind)]
    return [(entry.kind, dict(entry.payload)) for entry in sorted(found, key=lambda entry: entry.sequence)]


def shut_out(catalog: Catalog, workload: str) -> list[dict[str, str]]:
    """Sources and spans whose labels do not count by now, as `cohorts.without` takes them."""
    spans = [span.to_json() for span in quarantined(decided(catalog, workload))]
    return [{name: span[name] for name in ("source", "since", "until")} for span in spans]
