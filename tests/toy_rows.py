"""The rows of the toy workload under the lake's names, as ingest leaves them."""

import pyarrow as pa
import pyarrow.compute as pc

from tests.toy import Machines

LAKE_NAMES = {
    "reading": "key",
    "read_at": "event_at",
    "checked_by": "due_at",
    "failed": "label",
    "checked_at": "label_known_at",
}


def lake_rows(*parts: str, rows_per_part: int = 1500) -> pa.Table:
    """All rows of these months, labelled or not."""
    source = Machines(rows_per_part=rows_per_part)
    table = pa.concat_tables([source.read(part) for part in parts])
    return table.rename_columns([LAKE_NAMES.get(name, name) for name in table.column_names])


def labelled_rows(*parts: str, rows_per_part: int = 1500) -> pa.Table:
    """The rows of these months whose label became known."""
    rows = lake_rows(*parts, rows_per_part=rows_per_part)
    return rows.filter(pc.is_valid(rows["label"]))
