"""The gRPC calls of many workloads in one process, told apart by the model that each names."""

from google.protobuf.message import DecodeError, Message

from heliostat.errors import HeliostatError
from heliostat.serving import problem
from heliostat.serving.generated import open_inference_pb2 as pb
from heliostat.serving.problem import MalformedError, UnavailableError
from serve_apps.protocols.grpc_calls import CallContext, refuse
from serve_apps.together.pool import Member, Pool


class PoolCalls:
    """The service of a pool; what is asked of the whole server is answered by its first workload."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def answer(self, name: str, message: bytes, context: CallContext) -> Message:
        """The response of one call; an empty one, with the status in the context, when the call fails."""
        try:
            member = self._of_model(message) if name.startswith("Model") else self._first()
        except HeliostatError as error:
            refuse(context, problem.of(error), error)
            response: Message = getattr(pb, f"{name}Response")()
            return response
        answer = await member.calls.answer(name, message, context)
        self._pool.make_room()
        return answer

    def _of_model(self, message: bytes) -> Member:
        try:
            # The model's name is the first field of every message that has one.
            model = pb.ModelReadyRequest.FromString(message).name
        except DecodeError as error:
            raise MalformedError(f"The message names no model that can be read: {error!s:.200}.") from error
        member = self._pool.member_by_name.get(model)
        if member is None:
            raise self._pool.why_not(model)
        return member

    def _first(self) -> Member:
        if not self._pool.member_by_name:
            raise UnavailableError("No workload is served here yet; deploy one with jobs.deploy.")
        return self._pool.member_by_name[min(self._pool.member_by_name)]
