"""Rows in, rows out; labels; why; steering: what lies below `v1`."""

import asyncio
from collections.abc import Callable
from typing import Any

from heliostat.errors import HeliostatError, NotFoundError
from heliostat.govern.roles import Action
from heliostat.records import BundleRef
from heliostat.serving.arrow_stream import ARROW, read_stream
from heliostat.serving.labels import read_labels
from heliostat.serving.problem import MalformedError, UnavailableError
from heliostat.serving.rows import Defaults, RowReader, Rows
from heliostat.store.lake import Lake
from serve_apps.asgi import JSON, REVISION_HEADER, Request, Response, parsed
from serve_apps.engine.scoring import DEFAULT_VERSION
from serve_apps.http import Endpoint
from serve_apps.predictor import Predictor
from serve_apps.protocols import answers, schemas
from serve_apps.protocols.why import find, find_scored
from serve_apps.steering import SEARCH_TIMEOUT_S, Steering

_PREDICT_FIELDS = frozenset({"rows", "key"})


class V1:
    """The handlers of `v1` for one workload."""

    def __init__(self, predictor: Predictor, steering: Steering) -> None:
        self._predictor = predictor
        self._steering = steering
        self._config = predictor.config
        self._revisions = predictor.revisions
        self._lake = Lake(predictor.config.lake_uri)

    def endpoints(self) -> list[Endpoint]:
        """What this protocol answers, and to whom."""
        predict_body = schemas.predict_body(self._config.contract, self._revisions.current.extra_names)
        why = "/v1/predictions/{id}"
        labels_body = schemas.labels_body(self._config.contract.task)
        return [
            Endpoint(
                method="POST",
                path="/v1/predict",
                action=Action.PREDICT,
                handler=self.predict,
                summary="Answers for rows, or for columns in bulk",
                body=predict_body,
                other_bodies={ARROW: schemas.columns_body(self._config.contract, self._revisions.current.extra_names)},
                other_answers={
                    JSON: schemas.predict_answer(self._config.contract.task),
                    ARROW: schemas.columns_answer(self._config.contract.task),
                },
                headers={**schemas.TIMEOUT, **schemas.revision_header(self._config.contract)},
            ),
            _endpoint(
                "POST",
                "/v1/labels",
                Action.LABEL,
                self.labels,
                "What became of predictions",
                labels_body,
            ),
            _endpoint("GET", why, Action.READ_PREDICTION, self.why, "Why an answer was what it was"),
            _endpoint("GET", "/v1/status", Action.READ_STATUS, self.status, "This replica, its versions, and the loop"),
            _endpoint(
                "POST", "/v1/promote", Action.PROMOTE, self.promote, "Make a version champion", schemas.PROMOTE_BODY
            ),
            _endpoint(
                "POST", "/v1/rollback", Action.ROLL_BACK, self.rollback, "Make the champion before champion again"
            ),
            _endpoint("POST", "/v1/hold", Action.HOLD, self.hold, "End the running turn without a change"),
        ]

    async def predict(self, request: Request) -> Response:
        """Answers for rows, or for columns in bulk."""
        rows = await self._rows(request)
        ids, answer = await self._predictor.predict(
            rows,
            caller=request.by,
            request_id=request.request_id,
            received_at=request.received_at,
            started_s=request.started_s,
            deadline_s=request.deadline_s,
        )
        answered = answers.as_arrow if request.accepts(ARROW) else answers.as_json
        return answered(ids, answer, request).with_headers(self._revisions.headers(rows.revision))

    async def _rows(self, request: Request) -> Rows:
        defaults = Defaults(request_id=request.request_id, received_at=request.received_at)
        self._predictor.refuse_when_full(request.deadline_s)
        body = await request.body(JSON, ARROW)
        if request.media_type == ARROW:
            limits = self._config.limits
            columns = read_stream(body, max_rows=limits.max_rows_per_request, max_bytes=limits.max_body_bytes)
            if not columns:
                raise MalformedError("The Arrow stream has no columns; send one a declared column.")
            return self._read(lambda reader: reader.from_columns(columns, defaults), request)
        rows, key = _predict_fields(parsed(body))
        self._predictor.refuse_too_many(len(rows))
        keyed = Defaults(request_id=request.request_id, received_at=request.received_at, key=key)
        return self._read(lambda reader: reader.from_rows(rows, keyed), request)

    def _read(self, read: Callable[[RowReader], Rows], request: Request) -> Rows:
        named = request.header(REVISION_HEADER)
        return self._revisions.read(read, named=named, at=request.received_at, by=request.by)

    async def labels(self, request: Request) -> Response:
        """Labels, logged before they are accepted."""
        document = await request.json()
        if isinstance(document, dict) and isinstance(document.get("labels"), list):
            self._predictor.refuse_too_many(len(document["labels"]))
        labels = read_labels(document, received_at=request.received_at, task=self._config.contract.task)
        self._predictor.record_labels(labels, received_at=request.received_at, source=f"http/{request.by}")
        return Response.of({"accepted": len(labels)})

    async def why(self, request: Request) -> Response:
        """The logged row, its version's lineage and its label."""
        identifier = request.parameters["id"].lower()
        search: dict[str, Any] = {
            "lake": self._lake,
            "workload": self._config.workload,
            "contract": self._config.contract,
        }
        try:
            found = await asyncio.to_thread(find, identifier, **search)
        except NotFoundError:
            # Not asked over HTTP; perhaps a row of a table that was scored.
            runs = await self._steering.scored_runs()
            scored = await asyncio.to_thread(find_scored, identifier, runs=runs, **search)
            if scored is None:
                raise
            found = scored
        number = found["prediction"]["version"]
        return Response.of({**found, "model_version": await self._made_from(number)})

    async def _made_from(self, number: int) -> dict[str, Any]:
        if number == DEFAULT_VERSION:
            return {"number": number, "default": self._config.limits.default}
        try:
            version = await self._steering.model_version(number)
        except HeliostatError as error:
            # The row itself is the answer; that its lineage cannot be had now is said, not hidden.
            return {"number": number, "error": str(error)}
        return version.to_json()

    async def status(self, request: Request) -> Response:
        """The replica that answers and the loop, as far as the steward can be reached."""
        try:
            loop = await self._steering.status()
        except UnavailableError as error:
            loop = {"error": str(error)}
        return Response.of({**self._predictor.status(), "loop": loop})

    async def promote(self, request: Request) -> Response:
        """Ask the steward to make a version champion, when this replica can load it."""
        document = await request.json()
        version = document.get("version") if isinstance(document, dict) else None
        if type(version) is not int or not 1 <= version <= schemas.LARGEST_VERSION:
            raise MalformedError(f'Promote looks like {{"version": 3}}; got version {version!r:.80}.')
        made = await self._steering.model_version(version, timeout_s=SEARCH_TIMEOUT_S)
        # Replicas that cannot load the new champion would stay with the old one, and 200 would be no truth.
        await self._predictor.refuse_unloadable(version, BundleRef(uri=made.bundle_uri, hash=made.bundle_hash))
        return _done("promote", request, await self._steering.promote(version, request.by))

    async def rollback(self, request: Request) -> Response:
        """Ask the steward to make the previous champion champion again."""
        # Named, because the ingress may repeat this request, and twice would be no rollback.
        champion = self._predictor.live.route.champion
        return _done("rollback", request, await self._steering.rollback(request.by, champion))

    async def hold(self, request: Request) -> Response:
        """Ask the steward to end the running turn."""
        return _done("hold", request, await self._steering.hold(request.by))


def _endpoint(
    method: str, path: str, action: Action, handler: Any, summary: str, body: dict[str, Any] | None = None
) -> Endpoint:
    return Endpoint(method=method, path=path, action=action, handler=handler, summary=summary, body=body)


def _predict_fields(document: Any) -> tuple[list[Any], str | None]:
    if not isinstance(document, dict) or not isinstance(document.get("rows"), list) or not document["rows"]:
        raise MalformedError('A request looks like {"rows": [{...}]}; got no list `rows` of at least one object.')
    unknown = sorted(document.keys() - _PREDICT_FIELDS)
    if unknown:
        raise MalformedError(f"Field {unknown[0]!r:.80} is not known; known are rows and key.")
    key = document.get("key")
    if key is not None and (type(key) is not str or not key):
        raise MalformedError(f"`key` must be text that is not empty; got {key!r:.80}.")
    return document["rows"], key


def _done(action: str, request: Request, result: Any) -> Response:
    return Response.of({"action": action, "by": request.by, "result": result})
