"""What the OpenAPI document says of `v1/jobs`."""

from typing import Any

from heliostat.tasks import Task
from serve_apps.protocols.schemas_told import told, told_columns

Schema = dict[str, Any]

_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_INSTANT_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
JOB: Schema = {
    "type": "object",
    "required": ["id", "status"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "status": {"enum": ["queued", "running", "done", "failed", "cancelled"]},
        "created_at": {"type": "string", "format": "date-time"},
        "started_at": _INSTANT_OR_NULL,
        "ended_at": _INSTANT_OR_NULL,
        "kept_until": {"type": "string", "format": "date-time"},
        "num_done": {**_COUNT, "description": "Rows looked at so far"},
        "num_rows": {"type": ["integer", "null"], "description": "Rows with an answer"},
        "num_rejected": {**_COUNT, "description": "Rows that break the contract; the result says why"},
        "model_version": {"type": ["integer", "null"]},
        "attempt": _COUNT,
        "error": _TEXT_OR_NULL,
        "result": {**_TEXT_OR_NULL, "description": "Where the answers are"},
        "callback": {"type": ["object", "null"]},
    },
}
JOBS: Schema = {"type": "object", "properties": {"jobs": {"type": "array", "items": JOB}}}
SECRET: Schema = {"type": "object", "properties": {"secret": {"type": "string"}}}
SUBMIT_HEADERS: dict[str, Schema] = {
    "Idempotency-Key": {"type": "string", "maxLength": 200, "description": "X-Request-Id when it is not sent"},
    "X-Callback-Url": {"type": "string", "description": "Told with a signed POST when the job ends; see the README"},
}


def job_body(rows_body: Schema) -> Schema:
    """Rows as `v1/predict` takes them, or the address of a table."""
    address: Schema = {
        "type": "object",
        "required": ["input"],
        "properties": {"input": {"type": "string", "minLength": 1, "description": "Below an allowed prefix"}},
        "additionalProperties": False,
    }
    rows = {**rows_body, "properties": {"rows": rows_body["properties"]["rows"]}}
    return {"anyOf": [rows, address]}


def result(task: Task) -> Schema:
    """What a result holds as JSON, by the kind of label."""
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "rows": {"type": "array", "items": _COUNT, "description": "The number of each answered row in the request"},
            "ids": {"type": "array", "items": {"type": "string", "format": "uuid"}},
            **told(task),
            "model_version": {"type": "integer"},
            "rejected": {
                "type": "array",
                "items": {"type": "object", "properties": {"row": _COUNT, "reason": {"type": "string"}}},
            },
        },
    }


def result_columns(task: Task) -> Schema:
    """The same as an Arrow stream, in words."""
    return {
        "type": "string",
        "contentEncoding": "binary",
        "description": f"An Arrow IPC stream: row (int64), id (utf8), key (utf8), {told_columns(task)}, "
        "model_version (int32).",
    }
