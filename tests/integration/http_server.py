"""A predictor behind a real HTTP server on a port of its own."""

import asyncio
import threading
from contextlib import contextmanager

import uvicorn

from tests.integration.predictor_fixture import serving


@contextmanager
def http_server(workload, home, first):
    """The address of the server, which ends with the block."""
    started, address, servers = threading.Event(), [], []

    async def serve():
        async with serving(workload, home, first) as served:
            server = uvicorn.Server(uvicorn.Config(served.app, port=0, log_level="error", lifespan="off"))
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
