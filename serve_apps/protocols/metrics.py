"""What Prometheus scrapes: the monitor's figures at an address that stays, wherever the monitor runs."""

from heliostat.govern.roles import Action
from heliostat.serving.problem import UnavailableError
from heliostat.watch.exposition import exposition
from serve_apps.asgi import Request, Response
from serve_apps.http import Endpoint
from serve_apps.predictor import Predictor
from serve_apps.steering import Steering

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_TEXT = {"type": "string", "description": "Prometheus' text format; heliostat_monitor_up is 0 when the monitor is away"}


def metrics_endpoint(predictor: Predictor, steering: Steering) -> Endpoint:
    """`GET /v1/metrics`."""

    async def metrics(_: Request) -> Response:
        try:
            text = await steering.metrics()
        except UnavailableError:
            # Said as a figure, so that an alert can be set on it: a scrape that fails would hide it among the others.
            text = exposition(predictor.config.workload, is_up=False)
        return Response(body=text.encode(), content_type=CONTENT_TYPE)

    return Endpoint(
        method="GET",
        path="/v1/metrics",
        action=Action.READ_STATUS,
        handler=metrics,
        summary="Drift, quality, latency and decisions for Prometheus",
        other_answers={"text/plain": _TEXT},
    )
