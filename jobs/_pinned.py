"""Which versions of other workloads old rows may be put to; apart from `_inputs`, as workers need no catalog."""

from datetime import datetime
from typing import Any

from heliostat.store.catalog import Catalog
from heliostat.workload import Workload


def champions(catalog: Catalog, workload: Workload) -> dict[str, list[dict[str, Any]]]:
    """The versions of every input's workload that may be asked of old rows, to be kept in the run's lineage."""
    return {name: _champions(catalog, name) for name in dict.fromkeys(each.workload for each in workload.inputs)}


def _champions(catalog: Catalog, name: str) -> list[dict[str, Any]]:
    promoted = {entry.payload["version"] for entry in catalog.entries(name, kind="version_promoted")}
    found = [
        {
            "number": version.number,
            "as_of": version.lineage["as_of"],
            "bundle_uri": version.bundle_uri,
            "bundle_hash": version.bundle_hash,
        }
        for version in catalog.versions(name)
        if version.number in promoted and "as_of" in version.lineage
    ]
    return sorted(found, key=lambda each: (datetime.fromisoformat(each["as_of"]), each["number"]))
