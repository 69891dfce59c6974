"""What Serve's own processes import: the gRPC service that they register, and the address that they bind.

Proxies and the controller run without any application's code, so this file is copied into the home directory, which
is on their path (`cluster.ingress.install_hooks`), under a name of its own. Standard library, grpc and Ray only.
"""

from typing import Any

import grpc

MODULE = "heliostat_serve_hooks"
SERVICE = "inference.GRPCInferenceService"
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")


def add_inference_service(servicer: Any, server: Any) -> None:
    """Serve answers the calls of the Open Inference Protocol with the methods of that name, and hands on bytes.

    Bytes, because a message class would have to be one and the same in proxies and in every application's own code.
    """
    handlers = {name: grpc.unary_unary_rpc_method_handler(getattr(servicer, name)) for name in METHODS}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


def bind_loopback() -> list[Any]:
    """Serve's gRPC servers of this process listen on this machine only; no middlewares.

    Ray binds every interface and has no setting for it; this runs in proxies and replicas before a server starts.
    """
    from ray.serve._private import default_impl

    def add_grpc_address(grpc_server: Any, server_address: str) -> None:
        grpc_server.add_insecure_port(f"127.0.0.1:{server_address.rpartition(':')[2]}")

    if not hasattr(default_impl, "add_grpc_address"):
        raise AttributeError("ray.serve._private.default_impl has no add_grpc_address; adapt cluster/serve_hooks.py.")
    default_impl.add_grpc_address = add_grpc_address
    return []
