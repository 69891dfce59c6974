"""What the endpoints of one workload take, as JSON schemas built from its contract."""

import sys
from collections.abc import Sequence
from math import isfinite
from typing import Any

from heliostat.columns import Category, Column, Number, Text, Vector
from heliostat.govern.roles import Role
from heliostat.records import MOST_REQUESTS, SLOWEST_PER_S
from heliostat.serving.admission import MAX_TIMEOUT_S
from heliostat.serving.oip import NUMBERS, TEXTS, outputs_of
from heliostat.serving.revisions import HEADER as REVISION_HEADER
from heliostat.serving.row_keys import LONGEST_KEY
from heliostat.serving.rows import Contract
from heliostat.tasks import BINARY, Task
from serve_apps.protocols.schemas_told import label_value, told, told_columns

Schema = dict[str, Any]

LARGEST = sys.float_info.max
LARGEST_VERSION = 10**9 - 1  # no catalog has as many, and every database can hold it

_KEY: Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY}
_INSTANT: Schema = {"type": "string", "format": "date-time"}
_VERSION: Schema = {"type": "integer", "minimum": 0, "description": "0: the workload's declared default answered"}
BINARY_TENSORS: Schema = {
    "type": "string",
    "contentEncoding": "binary",
    "description": "The JSON document, and behind it the bytes of every tensor that has binary_data_size, in order: "
    "little-endian; a BYTES element is its length in 4 bytes and then its bytes.",
}
HEADER_LENGTH: Schema = {"type": "integer", "minimum": 1, "description": "How many bytes of the body are JSON"}
TIMEOUT: Schema = {
    "X-Request-Timeout-Seconds": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": MAX_TIMEOUT_S,
        "description": "How long the caller waits: what cannot be answered by then is refused with 503 and Retry-After",
    }
}
LABELS_BODY: Schema = {
    "type": "object",
    "required": ["labels"],
    "properties": {
        "labels": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["value"],
                "oneOf": [{"required": ["id"]}, {"required": ["key"]}],
                "properties": {
                    "id": {"type": "string", "format": "uuid", "description": "One that a prediction came with"},
                    "key": _KEY,
                    "value": {"enum": [0, 1]},
                    "at": _INSTANT,
                },
                "additionalProperties": False,
            },
        }
    },
}
KEY_BODY: Schema = {
    "type": "object",
    "required": ["name", "role"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[ -~]+$"},
        "role": {"enum": [str(role) for role in Role]},
        "requests_per_s": {
            "type": ["number", "null"],
            "minimum": SLOWEST_PER_S,
            "maximum": MOST_REQUESTS,
            "description": "Over all replicas, in place of the workload's limit",
        },
        "burst_requests": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": MOST_REQUESTS,
            "description": "At once; needs requests_per_s, without it a second's worth",
        },
        "may_label": {"type": ["boolean", "null"], "description": "Whether it may send labels; null: as its role"},
        "all_workloads": {"type": "boolean", "default": False},
    },
    "additionalProperties": False,
}
PROMOTE_BODY: Schema = {
    "type": "object",
    "required": ["version"],
    "properties": {"version": {"type": "integer", "minimum": 1, "maximum": LARGEST_VERSION}},
}


def predict_answer(task: Task) -> Schema:
    """What `v1/predict` answers as JSON, by the kind of label."""
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "The request's id"},
            "ids": {"type": "array", "items": {"type": "string", "format": "uuid"}, "description": "One a row"},
            **told(task),
            "model_version": _VERSION,
            "model_versions": {"type": "array", "items": _VERSION},
            "degraded": {"type": "boolean", "description": "Another version, or the default, stood in for some rows"},
            "degraded_reason": {"type": ["string", "null"]},
            "processing_time_ms": {"type": "number"},
        },
        "additionalProperties": False,
    }


def columns_answer(task: Task) -> Schema:
    """The same as an Arrow stream, in words."""
    return {
        "type": "string",
        "contentEncoding": "binary",
        "description": f"When Accept names it: an Arrow IPC stream with the columns id (utf8), {told_columns(task)}, "
        "model_version (int32, 0: the workload's default); in the schema's metadata id, "
        "degraded, degraded_reason and processing_time_ms.",
    }


def labels_body(task: Task) -> Schema:
    """What `v1/labels` takes."""
    described: Schema = {**LABELS_BODY, "properties": {**LABELS_BODY["properties"]}}
    labels = described["properties"]["labels"]
    value = label_value(task)
    item = {**labels["items"], "properties": {**labels["items"]["properties"], "value": value}}
    described["properties"]["labels"] = {**labels, "items": item}
    return described


def _output(task: Task) -> Schema:
    return {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"enum": list(outputs_of(task))},
            "parameters": {"type": "object", "properties": {"binary_data": {"type": "boolean"}}},
        },
    }


def predict_body(contract: Contract, extra_names: Sequence[str]) -> Schema:
    """What `v1/predict` takes: rows of one contract revision."""
    described = [_rows_of(contract, contract.columns, extra_names)]
    for revision in sorted(contract.earlier, key=lambda each: -each.number):
        until = "" if revision.sunset_at is None else f", answered until {revision.sunset_at.isoformat()}"
        text = f"Contract revision {revision.number}, deprecated since {revision.deprecated_at.isoformat()}{until}"
        described.append({**_rows_of(contract, revision.columns, extra_names), "deprecated": True, "description": text})
    return {
        "type": "object",
        "required": ["rows"],
        "properties": {
            "rows": described[0] if len(described) == 1 else {"anyOf": described},
            "key": _KEY,
        },
        "additionalProperties": False,
    }


def revision_header(contract: Contract) -> dict[str, Schema]:
    """The request header that names a contract revision."""
    numbers = [contract.revision, *sorted((revision.number for revision in contract.earlier), reverse=True)]
    text = "The contract revision of the rows; without it the newest one that they keep"
    return {REVISION_HEADER: {"enum": numbers, "description": text}}


def _rows_of(contract: Contract, columns: Sequence[Column], extra_names: Sequence[str]) -> Schema:
    keys = {contract.key, "key"}
    row = {
        "type": "object",
        "required": [column.name for column in columns if not column.optional],
        "properties": {
            **{column.name: _column(column) for column in columns},
            **{name: _KEY if name in keys else _INSTANT for name in extra_names},
        },
        "additionalProperties": False,
    }
    return {"type": "array", "minItems": 1, "items": row}


def infer_body(
    columns: Sequence[Column], extra_names: Sequence[str], *, current: Sequence[Column], task: Task = BINARY
) -> Schema:
    """What `infer` takes as JSON: one tensor a column, all of one length; the key and the times may be left out.

    `columns` are those of all revisions, `current` those of the newest.
    """
    tensors = [_tensor(each.name, TEXTS if isinstance(each, Category | Text) else NUMBERS, each) for each in columns]
    tensors += [_tensor(name, TEXTS) for name in extra_names]
    parameters = {"key": _KEY, "binary_data_output": {"type": "boolean"}}
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object", "properties": parameters},
            "inputs": {"type": "array", "minItems": 1, "items": {"anyOf": tensors}},
            "outputs": {"type": "array", "items": _output(task)},
        },
        "examples": [{"inputs": [_example(column) for column in current]}],
    }


def _example(column: Column) -> Schema:
    """A tensor of one row that the column allows."""
    if isinstance(column, Number):
        return {"name": column.name, "shape": [1], "datatype": "FP64", "data": [_middle(column)]}
    if isinstance(column, Vector):
        middle = sum(column.limits) / 2
        return {"name": column.name, "shape": [1, column.length], "datatype": "FP32", "data": [middle] * column.length}
    value = column.closed[0] if isinstance(column, Category) and column.closed else "example"
    return {"name": column.name, "shape": [1], "datatype": "BYTES", "data": [value]}


def _middle(column: Number) -> float:
    low, high = max(column.low, -LARGEST), min(column.high, LARGEST)
    return low / 2 + high / 2


def _tensor(name: str, datatypes: frozenset[str], column: Column | None = None) -> Schema:
    size = {"type": "integer", "minimum": 0, "description": "In place of `data`"}
    element: Schema = {"type": ["string", "null"]} if datatypes == TEXTS else {"type": ["number", "null"]}
    data: Schema = {"type": "array", "items": element, "description": "[n], or [n, 1] nested"}
    if isinstance(column, Vector):
        data["description"] = f"[n, {column.length}], row after row or nested"
        data["items"] = {"anyOf": [element, {"type": "array", "items": {"type": "number"}}]}
    return {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"const": name},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2},
            "datatype": {"enum": sorted(datatypes)},
            "data": data,
            "parameters": {"type": "object", "properties": {"binary_data_size": size}},
        },
    }


def columns_body(contract: Contract, extra_names: Sequence[str]) -> Schema:
    """What `v1/predict` takes as an Arrow stream, in words: OpenAPI has none for binary columns."""
    columns = ", ".join(f"{column.name} ({_arrow_words(column)})" for column in contract.columns)
    return {
        "type": "string",
        "contentEncoding": "binary",
        "description": f"An Arrow IPC stream, its buffers not compressed. Columns: {columns}. "
        f"May be left out: {', '.join(extra_names)} (utf8, times also timestamp with zone).",
    }


def _arrow_words(column: Column) -> str:
    words = "utf8, also dictionary-encoded" if isinstance(column, Category | Text) else "float64, or another number"
    if isinstance(column, Vector):
        words = f"list of {column.length} float32 or other numbers, also of fixed size or as fixed-shape tensors"
    return f"{words}, may be null or left out" if column.optional else words


def _column(column: Column) -> Schema:
    if isinstance(column, Category):
        schema: Schema = {"type": "string"} if column.closed is None else {"enum": list(column.closed)}
    elif isinstance(column, Text):
        schema = {"type": "string", "maxLength": column.max_length}
    elif isinstance(column, Vector):
        low, high = column.limits
        number = {"type": "number", "minimum": low, "maximum": high}
        schema = {"type": "array", "items": number, "minItems": column.length, "maxItems": column.length}
    else:
        # JSON has no infinity: what is not bounded is not told.
        bounds = {"minimum": column.low, "maximum": column.high}
        schema = {"type": "number", **{name: bound for name, bound in bounds.items() if isfinite(bound)}}
    return {"anyOf": [schema, {"type": "null"}]} if column.optional else schema
