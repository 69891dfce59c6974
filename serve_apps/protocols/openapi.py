"""The OpenAPI document of one workload: an operation for every endpoint, with every status that it may answer."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from heliostat.govern.roles import Action
from heliostat.serving.problem import CONTENT_TYPE
from heliostat.serving.revisions import HEADER as REVISION_HEADER
from serve_apps.access import NEVER_LIMITED
from serve_apps.asgi import JSON
from serve_apps.http import Endpoint
from serve_apps.protocols.answer_schemas import ANSWERS, PROBLEM

Schema = dict[str, Any]

# Of any request: an unreadable or absurd head, a request that trickles in, and what the ingress says of a lost replica.
_ALWAYS = {400, 408, 414, 431, 502, 503, 504}
_WITH_KEY = {401, 403, 429}
_WITH_BODY = {413, 415, 422}
_RETRIED_LATER = {429, 503}
# What only some endpoints meet: no such thing, a conflict with what the catalog holds, a revision that is over.
_OWN_STATUSES: dict[str, set[int]] = {
    "/v1/predict": {410},
    "/v1/promote": {404, 409},
    "/v1/rollback": {404, 409},
    "/v1/hold": {404, 409},
    "/v1/keys": {409},
    "/v1/jobs": {409, 410},
    "/v1/comparison": {404},
    "/v1/jobs/{id}/result": {409, 413},
}
_CREATED = {("POST", "/v1/keys")}


def document(workload: str, endpoints: Sequence[Endpoint]) -> Schema:
    """The document; its paths are those of `endpoints`, below the workload's address."""
    paths: dict[str, Schema] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, workload)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Heliostat: {workload}", "version": "1"},
        "servers": [{"url": f"/{workload}"}],
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": PROBLEM},
        },
        "paths": paths,
    }


def statuses(endpoint: Endpoint) -> set[int]:
    """Every status of an error that an endpoint may answer with."""
    found = _ALWAYS | _OWN_STATUSES.get(endpoint.path, set())
    if endpoint.action is not None:
        found |= _WITH_KEY - ({429} if endpoint.action in NEVER_LIMITED else set())
    if endpoint.body is not None:
        found |= _WITH_BODY
    if endpoint.query:
        found |= {422}
    if "{" in endpoint.path:
        found |= {404}
    if _takes_revision(endpoint):
        found |= {410}
    return found


def _takes_revision(endpoint: Endpoint) -> bool:
    is_tensor = endpoint.path.startswith("/v2/models/") and not endpoint.path.endswith("/ready")
    is_later = endpoint.path.startswith(("/v1/jobs", "/v1/webhook-secret"))
    return is_tensor or (endpoint.action is Action.PREDICT and not is_later)


def _operation(endpoint: Endpoint, workload: str) -> Schema:
    success = "201" if (endpoint.method, endpoint.path) in _CREATED else str(endpoint.status)
    described: Schema = {
        "operationId": f"{endpoint.method.lower()}{endpoint.path.replace('/', '_').translate(_NO_BRACES)}",
        "summary": endpoint.summary,
        "security": [{"key": []}] if endpoint.action is not None else [],
        "responses": {
            success: _success(endpoint),
            **{str(status): _problem(status) for status in sorted(statuses(endpoint))},
        },
    }
    parameters = [
        *_path_parameters(endpoint.path, workload),
        *({"name": name, "in": "query", "schema": schema} for name, schema in endpoint.query.items()),
        *({"name": name, "in": "header", "schema": schema} for name, schema in endpoint.headers.items()),
    ]
    if parameters:
        described["parameters"] = parameters
    if endpoint.body is not None:
        content = _content({JSON: endpoint.body, **endpoint.other_bodies})
        described["requestBody"] = {"required": True, "content": content}
    return described


_NO_BRACES = str.maketrans("", "", "{}")


def _success(endpoint: Endpoint) -> Schema:
    own = ANSWERS.get((endpoint.method, endpoint.path))
    # An endpoint that describes answers of its own and none in JSON gives none in JSON.
    answers = {**({} if own is None and endpoint.other_answers else {JSON: own or {}}), **endpoint.other_answers}
    described: Schema = {"description": "The answer", "content": _content(answers)}
    if _takes_revision(endpoint):
        described["headers"] = {
            REVISION_HEADER: _header({"type": "integer"}, "The contract revision, where a workload has several"),
            "Deprecation": _header({"type": "string"}, "When it is an earlier one: deprecated since (RFC 9745)"),
            "Sunset": _header({"type": "string"}, "Until when an earlier one is answered (RFC 8594)"),
        }
    return described


def _problem(status: int) -> Schema:
    described: Schema = {
        "description": HTTPStatus(status).phrase,
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in _RETRIED_LATER:
        described["headers"] = {"Retry-After": _header({"type": "integer", "minimum": 1}, "Seconds to wait")}
    return described


def _header(schema: Schema, description: str) -> Schema:
    return {"schema": schema, "description": description}


def _path_parameters(path: str, workload: str) -> list[Schema]:
    known: dict[str, Schema] = {
        "model": {"type": "string", "enum": [workload]},
        "version": {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
    }
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    schemas = {name: known.get(name, {"type": "string", "minLength": 1}) for name in names}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name, schema in schemas.items()]


def _content(schema_by_type: dict[str, Schema]) -> Schema:
    return {media_type: {"schema": schema} if schema else {} for media_type, schema in schema_by_type.items()}
