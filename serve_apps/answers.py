"""What a caller of `v1/predict` gets: one JSON document, or an Arrow stream with one row a row."""

import time

import numpy as np
import pyarrow as pa

from heliostat.serving.arrow_stream import ARROW, write_stream
from serve_apps.asgi import Call, Request, Response
from serve_apps.scoring import Answer

_FEW_ROWS = 64  # up to here a plain loop is quicker than numpy


def as_json(ids: list[str], answer: Answer, request: Request) -> Response:
    """The answer as one document."""
    return Response.of(
        {
            "id": request.request_id,
            "ids": ids,
            "predictions": answer.probabilities,
            "confidence": confidence(answer),
            "model_version": answer.versions[0],
            "model_versions": answer.versions,
            "degraded": answer.degraded,
            "degraded_reason": answer.degraded_reason,
            "processing_time_ms": elapsed_ms(request),
        }
    )


def as_arrow(ids: list[str], answer: Answer, request: Request) -> Response:
    """The answer as columns; what holds for the whole request stands in the schema's metadata."""
    arrays = {
        "id": pa.array(ids, pa.string()),
        "probability": pa.array(answer.probabilities, pa.float64()),
        "confidence": pa.array(confidence(answer), pa.float64()),
        "model_version": pa.array(answer.versions, pa.int32()),
    }
    metadata = {
        "id": request.request_id,
        "degraded": "true" if answer.degraded else "false",
        "processing_time_ms": str(elapsed_ms(request)),
    }
    if answer.degraded_reason is not None:
        metadata["degraded_reason"] = answer.degraded_reason
    return Response(body=write_stream(arrays, metadata=metadata), content_type=ARROW)


def confidence(answer: Answer) -> list[float]:
    """How sure each answer is of the likelier of the two labels."""
    if len(answer.probabilities) <= _FEW_ROWS:
        return [max(p, 1.0 - p) for p in answer.probabilities]
    probabilities = np.array(answer.probabilities)
    confidences: list[float] = np.maximum(probabilities, 1.0 - probabilities).tolist()
    return confidences


def elapsed_ms(request: Call) -> float:
    """How long the request has been in this replica."""
    return round((time.perf_counter() - request.started_s) * 1000, 3)
