"""Open Inference Protocol v2 over REST: what lies below `v2`."""

from heliostat.govern.roles import Action
from heliostat.serving import oip
from heliostat.serving.binary_tensors import HEADER_LENGTH, OCTETS, Tail, split
from heliostat.serving.problem import MalformedError
from serve_apps.asgi import JSON, Request, Response, parsed
from serve_apps.http import Endpoint, Handler
from serve_apps.predictor import Predictor
from serve_apps.protocols import schemas
from serve_apps.protocols.tensors import SERVER, Tensors


class V2:
    """The handlers of `v2` for one workload, whose name is the model's name."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._tensors = Tensors(predictor)
        self._max_rows = predictor.config.limits.max_rows_per_request

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
            self._post(f"{model}/infer", self.infer, "Probabilities for tensors"),
            self._post(f"{versioned}/infer", self.infer, "Probabilities by one version"),
        ]

    def _post(self, path: str, handler: Handler, summary: str) -> Endpoint:
        contract = self._predictor.config.contract
        return Endpoint(
            method="POST",
            path=path,
            action=Action.PREDICT,
            handler=handler,
            summary=summary,
            body=schemas.infer_body(
                self._tensors.columns,
                self._predictor.revisions.current.extra_names,
                current=self._predictor.config.contract.columns,
                task=self._tensors.task,
            ),
            other_bodies={OCTETS: schemas.BINARY_TENSORS},
            other_answers={OCTETS: schemas.BINARY_TENSORS},
            headers={
                HEADER_LENGTH: schemas.HEADER_LENGTH,
                **schemas.TIMEOUT,
                **schemas.revision_header(contract),
            },
        )

    async def server(self, _: Request) -> Response:
        """The server's metadata."""
        return Response.of(SERVER)

    async def live(self, _: Request) -> Response:
        """Always true: whoever answers lives."""
        return Response.of({"live": True})

    async def ready(self, request: Request) -> Response:
        """200 when the champion, or the version that was named, can answer; else 503."""
        self._tensors.require_ready(self._version(request))
        return Response.of({"name": self._tensors.model, "ready": True})

    async def metadata(self, request: Request) -> Response:
        """The model's inputs and outputs."""
        self._version(request)
        document, headers = self._tensors.metadata(request)
        return Response.of(document).with_headers(headers)

    async def infer(self, request: Request) -> Response:
        """Probabilities for tensors, one input a column."""
        version = self._version(request)
        inference = await self._inference(request)
        inferred = await self._tensors.infer(inference, request, version=version)
        document, tail = oip.encode(
            inferred.values_by_output,
            model=self._tensors.model,
            version=inferred.version,
            request_id=inferred.request_id,
            is_binary_by_output=inference.is_binary_by_output,
            task=self._tensors.task,
        )
        document["parameters"] = inferred.parameters
        response = Response.of(document).with_headers(inferred.headers)
        return _with_tail(response, tail) if any(inference.is_binary_by_output.values()) else response

    async def _inference(self, request: Request) -> oip.Inference:
        self._predictor.refuse_when_full(request.deadline_s)
        # Clients of the protocol send no Content-Type at all, the binary extension another one.
        body = await request.body(JSON, OCTETS, "")
        header_length = request.header(HEADER_LENGTH.lower().encode())
        if header_length is None and request.media_type == OCTETS:
            raise MalformedError(f"A body of {OCTETS} needs the header {HEADER_LENGTH}, with the length of its JSON.")
        document, tail = (body, Tail()) if header_length is None else split(body, header_length)
        return oip.decode(
            parsed(document), self._tensors.columns, tail=tail, max_rows=self._max_rows, task=self._tensors.task
        )

    def _version(self, request: Request) -> int | None:
        return self._tensors.version(request.parameters.get("model"), request.parameters.get("version"))


def _with_tail(response: Response, tail: bytes) -> Response:
    headers = {**response.headers, HEADER_LENGTH: str(len(response.body))}
    return Response(body=response.body + tail, content_type=OCTETS, headers=headers)


def _get(path: str, action: Action | None, handler: Handler, summary: str) -> Endpoint:
    return Endpoint(method="GET", path=path, action=action, handler=handler, summary=summary)
