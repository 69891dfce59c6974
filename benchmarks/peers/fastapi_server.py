"""FastAPI: an async handler that reads the body with orjson, no pydantic, the model in the event loop.

Run by uvicorn with uvloop and httptools, one process a worker, no access log: its documentation's advice for speed.
"""

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response

from benchmarks.network import NUM_INPUTS, network, probabilities

app = FastAPI(openapi_url=None)
layers = network()


@app.post("/predict")
async def predict(request: Request) -> Response:
    """Rows as lists in JSON."""
    inputs = np.array(orjson.loads(await request.body())["instances"], np.float32)
    document = {"predictions": probabilities(layers, inputs)}
    return Response(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


@app.post("/matrix")
async def matrix(request: Request) -> Response:
    """Rows as the bytes of a float32 matrix, answered by the bytes of a float32 vector."""
    inputs = np.frombuffer(await request.body(), np.float32).reshape(-1, NUM_INPUTS).copy()
    return Response(probabilities(layers, inputs).tobytes(), media_type="application/octet-stream")


@app.get("/ready")
async def ready() -> dict[str, bool]:
    """True."""
    return {"ready": True}
