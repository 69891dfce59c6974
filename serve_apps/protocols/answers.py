"""What a caller of `v1/predict` gets: one JSON document, or an Arrow stream with one row a row."""

import time

import pyarrow as pa

from heliostat.serving.arrow_stream import ARROW, write_stream
from heliostat.tasks import told_arrays
from serve_apps.asgi import Call, Request, Response
from serve_apps.engine.scoring import Answer


def as_json(ids: list[str], answer: Answer, request: Request) -> Response:
    """The answer as one document."""
    (_, predictions), *others = answer.task.told(answer.probabilities).items()
    more = dict(others)
    return Response.of(
        {
            "id": request.request_id,
            "ids": ids,
            "predictions": predictions,
            **more,
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
        **told_arrays(answer.task, answer.probabilities),
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


def elapsed_ms(request: Call) -> float:
    """How long the request has been in this replica."""
    return round((time.perf_counter() - request.started_s) * 1000, 3)
