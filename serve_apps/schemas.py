"""OpenAPI of one workload, built from its contract and from the endpoints that really answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heliostat.columns import Category, Column
from heliostat.serving.problem import CONTENT_TYPE
from heliostat.serving.rows import Contract

Schema = dict[str, Any]

_INSTANT: Schema = {"type": "string", "format": "date-time"}
_TENSOR: Schema = {
    "type": "object",
    "required": ["name", "shape", "datatype", "data"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string"},
        "data": {"type": "array"},
    },
}
INFER_BODY: Schema = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "minItems": 1, "items": _TENSOR},
        "outputs": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
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
                "properties": {
                    "id": {"type": "string", "format": "uuid"},
                    "key": {"type": "string"},
                    "value": {"enum": [0, 1]},
                    "at": _INSTANT,
                },
                "additionalProperties": False,
            },
        }
    },
}
PROMOTE_BODY: Schema = {
    "type": "object",
    "required": ["version"],
    "properties": {"version": {"type": "integer", "minimum": 1}},
}


def predict_body(contract: Contract, extra_names: Sequence[str]) -> Schema:
    """What `v1/predict` takes."""
    properties = {column.name: _column(column) for column in contract.columns}
    keys = {contract.key, "key"}
    extras = {name: {"type": "string"} if name in keys else _INSTANT for name in extra_names}
    row = {
        "type": "object",
        "required": [column.name for column in contract.columns if not column.optional],
        "properties": {**properties, **extras},
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "required": ["rows"],
        "properties": {"rows": {"type": "array", "minItems": 1, "items": row}, "key": {"type": "string"}},
        "additionalProperties": False,
    }


def _column(column: Column) -> Schema:
    if isinstance(column, Category):
        schema: Schema = {"type": "string"} if column.closed is None else {"enum": list(column.closed)}
    else:
        schema = {"type": "number", "minimum": column.low, "maximum": column.high}
    return {"anyOf": [schema, {"type": "null"}]} if column.optional else schema


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What the document says of one endpoint."""

    method: str
    path: str
    summary: str
    needs_key: bool
    body: Schema | None


def document(workload: str, operations: Sequence[Operation]) -> Schema:
    """The OpenAPI document: one operation for every endpoint, and nothing else."""
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Heliostat: {workload}", "version": "1"},
        "servers": [{"url": f"/{workload}"}],
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "paths": paths,
    }


def _operation(operation: Operation) -> Schema:
    described: Schema = {
        "summary": operation.summary,
        "security": [{"key": []}] if operation.needs_key else [],
        "responses": {
            "200": {"description": "The answer", "content": {"application/json": {}}},
            "default": {"description": "What went wrong (RFC 9457)", "content": {CONTENT_TYPE: {}}},
        },
    }
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    if names:
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": operation.body}}}
    return described
