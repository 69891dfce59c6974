"""A predictor behind a real HTTP server on a port of its own, with the short way that its replicas have."""

import asyncio
import threading
from contextlib import contextmanager
from functools import partial

import uvicorn

from serve_apps.protocols.express import Express, ExpressProtocol
from tests.integration.predictor_fixture import serving


async def no_books(answering):
    """What Serve would count of a request."""
    return await answering


def express_server(app, workload, *, kept=no_books):
    """A server that has not begun."""
    paths = ["/v1/predict", f"/v2/models/{workload.name}/infer"]
    express = Express(app, local_by_path={path: path for path in paths}, kept=kept)
    protocol = partial(ExpressProtocol, express=express)
    return uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", http=protocol))


@contextmanager
def http_server(workload, home, first):
    """The address of the server, which ends with the block."""
    started, address, servers = threading.Event(), [], []

    async def serve():
        async with serving(workload, home, first) as served:
            server = express_server(served.app, workload)
            servers.append(server)
            task = asyncio.ensure_future(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            address.append(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
            started.set()
            await task

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(timeout=60)
    try:
        yield address[0]
    finally:
        servers[0].should_exit = True
        thread.join(timeout=30)
