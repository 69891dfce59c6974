"""What every endpoint answers when all is well: one JSON schema for each, and what a problem looks like."""

from typing import Any

from heliostat.tasks import BINARY
from serve_apps.protocols.schemas import predict_answer

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_INSTANT: Schema = {"type": "string", "format": "date-time"}
_ANYTHING: Schema = {"type": "object"}


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    """Exactly these fields."""
    properties = {**required, **(optional or {})}
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


PROBLEM = _object(
    {
        "type": {"const": "about:blank"},
        "title": _TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {**_TEXT, "description": "What, what it got, what to do"},
    },
    {
        "error": {**_TEXT, "description": "The detail again, where clients of the v2 protocol look for it"},
        "instance": {**_TEXT, "description": "The request's id, under which the server's log has it"},
    },
)
_TENSOR = _object({"name": _TEXT, "datatype": _TEXT, "shape": _list_of({"type": "integer", "minimum": -1})})
_OUTPUT = _object(
    {"name": _TEXT, "shape": _list_of(_COUNT), "datatype": {"enum": ["BYTES", "FP64", "INT32"]}},
    {"data": {"type": "array"}, "parameters": _object({"binary_data_size": _COUNT})},
)
_REVISION: Schema = {"contract_revision": {"type": "integer", "minimum": 1}, "deprecated": _FLAG, "sunset_at": _INSTANT}
_METADATA = _object(
    {
        "name": _TEXT,
        "versions": _list_of(_TEXT),
        "platform": {"const": "heliostat"},
        "inputs": _list_of(_TENSOR),
        "outputs": _list_of(_TENSOR),
    },
    {"parameters": _object({}, _REVISION)},
)
_INFERENCE = _object(
    {
        "model_name": _TEXT,
        "model_version": _TEXT,
        "id": _TEXT,
        "outputs": _list_of(_OUTPUT),
        "parameters": _object(
            {"degraded": _FLAG, "processing_time_ms": _NUMBER}, {"degraded_reason": _TEXT, **_REVISION}
        ),
    }
)
_KEY: Schema = {
    "key_id": _TEXT,
    "role": _TEXT,
    "name": _TEXT,
    "workload": _or_null(_TEXT),
    "requests_per_s": _or_null(_NUMBER),
    "burst_requests": _or_null(_COUNT),
    "may_label": _or_null(_FLAG),
}
_READY = _object({"name": _TEXT, "ready": {"const": True}})
_STEERED = _object({"action": {"enum": ["promote", "rollback", "hold"]}, "by": _TEXT, "result": {}})
_STATUS: Schema = {
    "type": "object",
    "required": ["workload", "ready", "route", "versions", "breakers", "num_shed", "revisions", "started_at", "loop"],
    "properties": {
        "workload": _TEXT,
        "ready": _FLAG,
        "route": _ANYTHING,
        "versions": {"type": "object", "additionalProperties": _TEXT},
        "breakers": {"type": "object", "additionalProperties": {"enum": ["closed", "open", "half-open"]}},
        "num_shed": _COUNT,
        "num_failed_by_status": {"type": "object", "additionalProperties": _COUNT},
        "last_error": _or_null(_ANYTHING),
        "revisions": _list_of(_ANYTHING),
        "started_at": _INSTANT,
        "loop": {},
    },
}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_DISTANCE = {**_NUMBER, "minimum": 0}
_TIMES = _or_null(_object(dict.fromkeys(("p50", "p75", "p95", "p99"), _NUMBER)))
_SLICE = _object(
    {
        "column": _TEXT,
        "value": _TEXT,
        "num_rows": _COUNT,
        "agreement": _SHARE,
        "distance": _DISTANCE,
        "loss_difference": _or_null(_NUMBER),
    }
)
_COMPARISON = _object(
    {
        "workload": _TEXT,
        "version": _COUNT,
        "against": _or_null(_COUNT),
        **dict.fromkeys(("num_answered", "num_asked", "num_compared", "num_scored", "num_errors"), _COUNT),
        "error": _or_null(_TEXT),
        "agreement": _or_null(
            {**_SHARE, "description": "Rows of which both say the same: side of 0.5, class, or range"}
        ),
        "distance": _or_null({**_DISTANCE, "description": "Of their answers, on average; of quantities in their unit"}),
        "distance_p95": _or_null(_DISTANCE),
        "own_ms": {**_TIMES, "description": "How long `version` took for the batch of a row"},
        "other_ms": _TIMES,
        "losses": {
            **_or_null(_ANYTHING),
            "description": "On rows with a label that is due: below zero `version` is better",
        },
        "slices": _list_of(_SLICE),
    }
)
_MODEL = "/v2/models/{model}"
_VERSION = f"{_MODEL}/versions/{{version}}"

ANSWERS: dict[tuple[str, str], Schema] = {
    ("GET", "/docs"): {"type": "object", "required": ["openapi", "info", "paths"]},
    ("POST", "/v1/predict"): predict_answer(BINARY),
    ("POST", "/v1/labels"): _object({"accepted": {"type": "integer", "minimum": 1}}),
    ("GET", "/v1/predictions/{id}"): {
        "type": "object",
        "required": ["prediction", "inputs", "label", "model_version"],
        "properties": {"prediction": _ANYTHING, "label": _or_null(_ANYTHING), "model_version": _ANYTHING},
    },
    ("GET", "/v1/status"): _STATUS,
    ("GET", "/v1/comparison"): _COMPARISON,
    **{("POST", f"/v1/{action}"): _STEERED for action in ("promote", "rollback", "hold")},
    ("GET", "/v1/keys"): _object({"keys": _list_of(_object(_KEY))}),
    ("POST", "/v1/keys"): _object({"key": {**_TEXT, "description": "Shown this once"}, **_KEY}),
    ("DELETE", "/v1/keys/{id}"): _object({"key_id": _TEXT, "revoked": {"const": True}}),
    ("GET", "/v2"): _object({"name": _TEXT, "version": _TEXT, "extensions": _list_of(_TEXT)}),
    ("GET", "/v2/health/live"): _object({"live": {"const": True}}),
    ("GET", "/v2/health/ready"): _READY,
    ("GET", f"{_MODEL}/ready"): _READY,
    ("GET", f"{_VERSION}/ready"): _READY,
    ("GET", _MODEL): _METADATA,
    ("GET", _VERSION): _METADATA,
    ("POST", f"{_MODEL}/infer"): _INFERENCE,
    ("POST", f"{_VERSION}/infer"): _INFERENCE,
}
"""By method and path; an endpoint that gives no JSON is not here, it describes its answer itself."""
