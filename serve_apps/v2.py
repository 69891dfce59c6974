"""Open Inference Protocol v2 over REST: what lies below `v2`."""

import time
from typing import Any

from heliostat.errors import NotFoundError
from heliostat.govern.roles import Action
from heliostat.serving import oip
from heliostat.serving.problem import MalformedError, UnavailableError
from heliostat.serving.rows import Defaults, RowReader
from serve_apps import schemas
from serve_apps.asgi import Request, Response
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
        return Response.of({"name": "heliostat", "version": "2", "extensions": []})

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
        held = sorted(self._predictor.live.version_by_number)
        return Response.of(oip.metadata(self._columns, self._reader.extra_names, model=self._model, versions=held))

    async def infer(self, request: Request) -> Response:
        """Probabilities for tensors, one input a column."""
        version = self._version(request)
        inference = oip.decode(await request.json(), self._columns)
        values_by_name, key = self._with_parameters(inference)
        self._predictor.refuse_too_many(max(map(len, values_by_name.values())))
        defaults = Defaults(request_id=request.request_id, received_at=request.received_at, key=key)
        ids, answer = await self._predictor.predict(
            self._reader.from_columns(values_by_name, defaults),
            caller=request.by,
            request_id=request.request_id,
            received_at=request.received_at,
            started_s=request.started_s,
            version=version,
        )
        document = oip.encode(
            _outputs(ids, answer),
            model=self._model,
            version=answer.versions[0],
            request_id=inference.id or request.request_id,
            outputs=inference.outputs,
        )
        elapsed_ms = round((time.perf_counter() - request.started_s) * 1000, 3)
        document["parameters"] = {"degraded": answer.degraded, "processing_time_ms": elapsed_ms}
        return Response.of(document)

    def _with_parameters(self, inference: oip.Inference) -> tuple[dict[str, list[Any]], str | None]:
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
        held = self._predictor.live.version_by_number
        if not (version.isascii() and version.isdecimal() and len(version) < 10) or int(version) not in held:
            raise NotFoundError(f"Version {version!r:.80} is not served; served are {sorted(held)}.")
        return int(version)


def _outputs(ids: list[str], answer: Answer) -> dict[str, list[Any]]:
    return {
        "probability": answer.probabilities,
        "confidence": [max(p, 1.0 - p) for p in answer.probabilities],
        "id": ids,
        "model_version": answer.versions,
    }


def _get(path: str, action: Action | None, handler: Handler, summary: str) -> Endpoint:
    return Endpoint(method="GET", path=path, action=action, handler=handler, summary=summary)


def _post(path: str, handler: Handler, summary: str) -> Endpoint:
    return Endpoint(
        method="POST", path=path, action=Action.PREDICT, handler=handler, summary=summary, body=schemas.INFER_BODY
    )
