"""What Serve's own processes import, against the installed Ray."""

from pathlib import Path
from unittest.mock import Mock

import grpc
import pytest
from ray.serve._private import default_impl, grpc_util

from cluster import serve_hooks
from heliostat.serving.generated import open_inference_pb2 as pb


class Server:
    """Takes what is registered and bound."""

    def __init__(self) -> None:
        self.handlers: list[grpc.GenericRpcHandler] = []
        self.addresses: list[str] = []

    def add_generic_rpc_handlers(self, handlers: tuple[grpc.GenericRpcHandler, ...]) -> None:
        self.handlers.extend(handlers)

    def add_insecure_port(self, address: str) -> None:
        self.addresses.append(address)


def test_every_call_of_the_protocol_is_registered_under_its_name() -> None:
    server = Server()
    serve_hooks.add_inference_service(Mock(), server)
    service = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    # Serve itself reads the names from here.
    assert set(server.handlers[0]._method_handlers) == {f"/{service.full_name}/{each.name}" for each in service.methods}


def test_messages_are_handed_on_as_bytes() -> None:
    server = Server()
    serve_hooks.add_inference_service(Mock(), server)
    (handler,) = (h for name, h in server.handlers[0]._method_handlers.items() if name.endswith("/ModelInfer"))
    assert handler.request_deserializer is None
    assert not handler.request_streaming


def test_servers_of_serve_listen_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_impl, "add_grpc_address", default_impl.add_grpc_address)
    assert serve_hooks.bind_loopback() == []
    server = Server()
    default_impl.add_grpc_address(server, "[::]:21201")
    assert server.addresses == ["127.0.0.1:21201"]


def test_the_installed_ray_binds_through_the_function_that_is_replaced() -> None:
    source = Path(grpc_util.__file__).read_text()
    assert "from ray.serve._private.default_impl import add_grpc_address" in source
