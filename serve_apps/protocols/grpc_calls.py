"""Open Inference Protocol v2 over gRPC: each call of `inference.GRPCInferenceService`, and errors as its statuses."""

import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

from heliostat.errors import HeliostatError
from heliostat.govern.roles import Action
from heliostat.serving import grpc_status, oip_messages, problem
from heliostat.serving.generated import open_inference_pb2 as pb
from heliostat.serving.problem import MalformedError, OverloadedError
from serve_apps.asgi import REQUEST_ID_HEADER, TIMEOUT_HEADER, Call, received_at_of, request_id_of, too_large
from serve_apps.predictor import Predictor
from serve_apps.protocols.tensors import SERVER, Tensors

logger = logging.getLogger(__name__)

# The ingress copies the deadline into it: gRPC's own header does not reach a handler of Serve.
DEADLINE_HEADER = b"x-grpc-timeout"
_SERVE_REQUEST_ID = b"request_id"


# A message, and the headers that an answer over HTTP would have.
_Answer: TypeAlias = tuple[Message, Mapping[str, str]]


class CallContext(Protocol):
    """The part of Serve's context of a call that is used here."""

    def invocation_metadata(self) -> Iterable[tuple[str, Any]]:
        """What the caller and the ingress sent with the call."""

    def trailing_metadata(self) -> Iterable[tuple[str, Any]]:
        """What is sent back; Serve has put the request's id there."""

    def set_code(self, code: grpc.StatusCode) -> None:
        """How the call ends."""

    def set_details(self, details: str) -> None:
        """Why it ends so."""

    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, str]]) -> None:
        """What is sent back beside the request's id."""


class Calls(Protocol):
    """Whoever answers the calls of a replica."""

    async def answer(self, name: str, message: bytes, context: CallContext) -> Message:
        """The response of one call; an empty one, with the status in the context, when the call fails."""


@dataclass(frozen=True, kw_only=True)
class _Method:
    request: type[Message]
    response: type[Message]
    action: Action | None  # None needs no key
    handler: Callable[[Any, Call], Awaitable[_Answer]]


class GrpcCalls:
    """The service for one workload; made on the event loop that it runs on."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._limits = predictor.config.limits
        self._tensors = Tensors(predictor)
        self._method_by_name = {
            "ServerLive": _method("ServerLive", None, self._server_live),
            "ServerReady": _method("ServerReady", None, self._server_ready),
            "ModelReady": _method("ModelReady", None, self._model_ready),
            "ServerMetadata": _method("ServerMetadata", Action.READ_STATUS, self._server_metadata),
            "ModelMetadata": _method("ModelMetadata", Action.READ_STATUS, self._model_metadata),
            "ModelInfer": _method("ModelInfer", Action.PREDICT, self._model_infer),
        }

    async def answer(self, name: str, message: bytes, context: CallContext) -> Message:
        """The response of one call; an empty one, with the status in the context, when the call fails."""
        started_s, method = time.perf_counter(), self._method_by_name[name]
        header_by_name = _headers(context)
        try:
            call = self._call(header_by_name, started_s=started_s)
            if method.action is not None:
                authorization = call.header(b"authorization")
                call.caller = self._predictor.access.admit(authorization, method.action, now_s=started_s)
            answer, headers = await method.handler(self._parsed(method.request, message), call)
        except HeliostatError as error:
            self._refuse(context, problem.of(error), error)
        # The outer edge of a call: whatever it was, it is in the log, and the next call is answered.
        except Exception as error:  # noqa: BLE001
            self._refuse(context, problem.internal(), error)
        else:
            context.set_trailing_metadata([(name.lower(), value) for name, value in headers.items()])
            return answer
        return method.response()

    def _refuse(self, context: CallContext, found: problem.Problem, error: Exception) -> None:
        self._predictor.failures.add(found.status)
        refuse(context, found, error)

    def _call(self, header_by_name: Mapping[bytes, bytes], *, started_s: float) -> Call:
        deadline, header = (_text(header_by_name.get(name)) for name in (DEADLINE_HEADER, TIMEOUT_HEADER))
        return Call(
            header_by_name=header_by_name,
            request_id=request_id_of(header_by_name) or str(uuid.uuid4()),
            received_at=received_at_of(header_by_name),
            started_s=started_s,
            timeout_s=grpc_status.timeout_s(deadline, header, default_s=self._limits.request_timeout_s),
        )

    def _parsed(self, kind: type[Message], message: bytes) -> Message:
        if len(message) > self._limits.max_body_bytes:
            raise too_large(self._limits.max_body_bytes)
        try:
            return kind.FromString(message)
        except DecodeError as error:
            raise MalformedError(f"The message is no {kind.DESCRIPTOR.full_name}: {error!s:.200}.") from error

    async def _server_live(self, _: pb.ServerLiveRequest, __: Call) -> _Answer:
        return pb.ServerLiveResponse(live=True), {}

    async def _server_ready(self, _: pb.ServerReadyRequest, __: Call) -> _Answer:
        return pb.ServerReadyResponse(ready=self._tensors.is_ready()), {}

    async def _model_ready(self, request: pb.ModelReadyRequest, _: Call) -> _Answer:
        version = self._tensors.version(request.name, request.version or None)
        return pb.ModelReadyResponse(ready=self._tensors.is_ready(version)), {}

    async def _server_metadata(self, _: pb.ServerMetadataRequest, __: Call) -> _Answer:
        return pb.ServerMetadataResponse(**SERVER), {}

    async def _model_metadata(self, request: pb.ModelMetadataRequest, call: Call) -> _Answer:
        self._tensors.version(request.name, request.version or None)
        document, headers = self._tensors.metadata(call)
        return oip_messages.metadata(document), headers

    async def _model_infer(self, request: pb.ModelInferRequest, call: Call) -> _Answer:
        version = self._tensors.version(request.model_name, request.model_version or None)
        max_rows = self._limits.max_rows_per_request
        inference = oip_messages.decode(request, self._tensors.columns, max_rows=max_rows, task=self._tensors.task)
        inferred = await self._tensors.infer(inference, call, version=version)
        message = oip_messages.encode(
            inferred.values_by_output,
            model=self._tensors.model,
            version=inferred.version,
            request_id=inferred.request_id,
            is_binary_by_output=inference.is_binary_by_output,
            parameters=inferred.parameters,
            task=self._tensors.task,
        )
        return message, inferred.headers


class InferenceService:
    """The calls as Serve finds them: methods of a deployment, named as in the protocol; `calls` answers them."""

    calls: Calls

    async def ServerLive(self, request: bytes, grpc_context: CallContext) -> Message:  # noqa: N802
        """Whether the process runs."""
        return await self.calls.answer("ServerLive", request, grpc_context)

    async def ServerReady(self, request: bytes, grpc_context: CallContext) -> Message:  # noqa: N802
        """Whether a champion is loaded."""
        return await self.calls.answer("ServerReady", request, grpc_context)

    async def ModelReady(self, request: bytes, grpc_context: CallContext) -> Message:  # noqa: N802
        """Whether the champion, or the version that is named, is loaded."""
        return await self.calls.answer("ModelReady", request, grpc_context)

    async def ServerMetadata(self, request: bytes, grpc_context: CallContext) -> Message:  # noqa: N802
        """The server's name."""
        return await self.calls.answer("ServerMetadata", request, grpc_context)

    async def ModelMetadata(self, request: bytes, grpc_context: CallContext) -> Message:  # noqa: N802
        """Inputs and outputs."""
        return await self.calls.answer("ModelMetadata", request, grpc_context)

    async def ModelInfer(self, request: bytes, grpc_context: CallContext) -> Message:  # noqa: N802
        """Probabilities for tensors."""
        return await self.calls.answer("ModelInfer", request, grpc_context)


def _method(name: str, action: Action | None, handler: Callable[[Any, Call], Awaitable[_Answer]]) -> _Method:
    return _Method(
        request=getattr(pb, f"{name}Request"),
        response=getattr(pb, f"{name}Response"),
        action=action,
        handler=handler,
    )


def _headers(context: CallContext) -> dict[bytes, bytes]:
    """The metadata as HTTP headers; the request's id is the caller's own, or else the one that Serve gave."""
    sent = [*context.trailing_metadata(), *context.invocation_metadata()]
    header_by_name = {
        name.encode(): value if isinstance(value, bytes) else value.encode("latin-1", "replace") for name, value in sent
    }
    if _SERVE_REQUEST_ID in header_by_name:
        header_by_name.setdefault(REQUEST_ID_HEADER, header_by_name[_SERVE_REQUEST_ID])
    return header_by_name


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")


def refuse(context: CallContext, found: problem.Problem, error: Exception) -> None:
    """The call ends with the status, the sentence and the headers of a problem."""
    # What is shed is counted in v1/status: a trace for each would cost most when there is least to spare.
    if found.status >= 500 and not isinstance(error, OverloadedError):
        request_id = dict(context.trailing_metadata()).get("request_id")
        logger.error("Call %s failed.", request_id, exc_info=error)
    # Not raised: Serve would write a trace for every refusal.
    context.set_code(grpc.StatusCode[grpc_status.code_of(found, error)])
    context.set_details(grpc_status.detail_of(found))
    context.set_trailing_metadata(grpc_status.trailers_of(found))
