"""Open Inference Protocol v2 over REST: what lies below `v2`."""

from typing import Any

from heliostat.errors import NotFoundError
from heliostat.govern.roles import Action
from heliostat.serving import oip
from heliostat.serving.binary_tensors import HEADER_LENGTH, OCTETS, Tail, split
from heliostat.serving.problem import MalformedError, UnavailableError
from heliostat.serving.rows import Cells, Defaults, RowReader
from serve_apps import answers, schemas
from serve_apps.asgi import JSON, Request, Response, parsed
from serve_apps.http import Endpoint, Handler
from serve_apps.predictor import Predictor
from serve_apps.scoring import Answer


class V2:
    """The handlers of `v2` for one workload, whose name is the model's name."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._model = predictor.config.workload
        self._columns = predictor.config.contract.columns
        self._reader = RowReader(predictor.config.contract)

    def endpoints(self) -> list[Endpoint]:
        """What this protocol answers; health needs no key."""
        model, versioned = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
        return [
            _get("/v2", Action.READ_STATUS, self.server, "The server's name"),
            _get("/v2/health/live", None, self.live, "The process runs"),
            _get("/v2/health/ready", None, self.ready, "A champion is loaded"),
            _get(model, Action.READ_STATUS, self.metadata, "Inputs and outputs"),
            _get(f"{model}/ready", None, self.ready, "A champion is loaded"),
            _get(versioned, Action.READ_STATUS, self.metadata, "Inputs and outputs"),
            _get(f"{versioned}/ready", None, self.ready, "This version is loaded"),
            _post(f"{model}/infer", self.infer, "Probabilities for tensors"),
            _post(f"{versioned}/infer", self.infer, "Probabilities by one version"),
        ]

    async def server(self, _: Request) -> Response:
        """The server's metadata."""
        return Response.of({"name": "heliostat", "version": "2", "extensions": ["binary_tensor_data"]})

    async def live(self, _: Request) -> Response:
        """Always true: whoever answers lives."""
        return Response.of({"live": True})

    async def ready(self, request: Request) -> Response:
        """200 when the champion, or the version that was named, can answer; else 503."""
        version = self._version(request)
        if version is None and not self._predictor.is_ready:
            raise UnavailableError("No version serves yet: train one and promote it (jobs.train, jobs.promote).")
        return Response.of({"name": self._model, "ready": True})

    async def metadata(self, request: Request) -> Response:
        """The model's inputs and outputs."""
        self._version(request)
        versions = self._predictor.versions
        return Response.of(oip.metadata(self._columns, self._reader.extra_names, model=self._model, versions=versions))

    async def infer(self, request: Request) -> Response:
        """Probabilities for tensors, one input a column."""
        version = self._version(request)
        inference = await self._inference(request)
        values_by_name, key = self._with_parameters(inference)
        defaults = Defaults(request_id=request.request_id, received_at=request.received_at, key=key)
        ids, answer = await self._predictor.predict(
            self._reader.from_columns(values_by_name, defaults),
            caller=request.by,
            request_id=request.request_id,
            received_at=request.received_at,
            started_s=request.started_s,
            deadline_s=request.deadline_s,
            version=version,
        )
        document, tail = oip.encode(
            _outputs(ids, answer),
            model=self._model,
            version=answer.versions[0],
            request_id=inference.id or request.request_id,
            is_binary_by_output=inference.is_binary_by_output,
        )
        document["parameters"] = {"degraded": answer.degraded, "processing_time_ms": answers.elapsed_ms(request)}
        if answer.degraded_reason is not None:
            document["parameters"]["degraded_reason"] = answer.degraded_reason
        response = Response.of(document)
        return _with_tail(response, tail) if any(inference.is_binary_by_output.values()) else response

    async def _inference(self, request: Request) -> oip.Inference:
        # Clients of the protocol send no Content-Type at all, the binary extension another one.
        body = await request.body(JSON, OCTETS, "")
        header_length = request.header(HEADER_LENGTH.lower().encode())
        if header_length is None and request.media_type == OCTETS:
            raise MalformedError(f"A body of {OCTETS} needs the header {HEADER_LENGTH}, with the length of its JSON.")
        document, tail = (body, Tail()) if header_length is None else split(body, header_length)
        max_rows = self._predictor.config.limits.max_rows_per_request
        return oip.decode(parsed(document), self._columns, tail=tail, max_rows=max_rows)

    def _with_parameters(self, inference: oip.Inference) -> tuple[dict[str, Cells], str | None]:
        """The columns with those that a parameter gives once for all rows, and the key for rows without one."""
        values_by_name = dict(inference.values_by_name)
        num_rows = max(map(len, values_by_name.values()))
        key = inference.parameters.get("key")
        if key is not None and (type(key) is not str or not key):
            raise MalformedError(f"Parameter `key` must be text that is not empty; got {key!r:.80}.")
        for name in self._reader.extra_names:
            if name != "key" and name in inference.parameters:
                values_by_name.setdefault(name, [inference.parameters[name]] * num_rows)
        return values_by_name, key

    def _version(self, request: Request) -> int | None:
        model, version = request.parameters.get("model"), request.parameters.get("version")
        if model not in (None, self._model):
            raise NotFoundError(f"There is no model {model!r:.80} here; this address serves {self._model!r}.")
        if version is None:
            return None
        served = self._predictor.versions
        if not (version.isascii() and version.isdecimal() and len(version) < 10) or int(version) not in served:
            raise NotFoundError(f"Version {version!r:.80} is not served; served are {served}.")
        return int(version)


def _outputs(ids: list[str], answer: Answer) -> dict[str, list[Any]]:
    return {
        "probability": answer.probabilities,
        "confidence": answers.confidence(answer),
        "id": ids,
        "model_version": answer.versions,
    }


def _with_tail(response: Response, tail: bytes) -> Response:
    headers = {HEADER_LENGTH: str(len(response.body))}
    return Response(body=response.body + tail, content_type=OCTETS, headers=headers)


def _get(path: str, action: Action | None, handler: Handler, summary: str) -> Endpoint:
    return Endpoint(method="GET", path=path, action=action, handler=handler, summary=summary)


def _post(path: str, handler: Handler, summary: str) -> Endpoint:
    return Endpoint(
        method="POST",
        path=path,
        action=Action.PREDICT,
        handler=handler,
        summary=summary,
        body=schemas.INFER_BODY,
        other_bodies={OCTETS: schemas.BINARY_TENSORS},
        other_answers={OCTETS: schemas.BINARY_TENSORS},
        headers={HEADER_LENGTH: schemas.HEADER_LENGTH, **schemas.TIMEOUT},
    )
