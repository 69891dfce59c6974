"""Everything that one workload answers, put together: rows, tensors, and the document that describes both."""

from heliostat.govern.roles import Action
from serve_apps.asgi import Request, Response
from serve_apps.desk import Desk
from serve_apps.http import HTML, Endpoint, HttpApp
from serve_apps.predictor import Predictor
from serve_apps.protocols import docs_page, openapi, schemas
from serve_apps.protocols.comparing import Comparing
from serve_apps.protocols.key_endpoints import KeyEndpoints
from serve_apps.protocols.metrics import metrics_endpoint
from serve_apps.protocols.v1 import V1
from serve_apps.protocols.v1_jobs import V1Jobs
from serve_apps.protocols.v2 import V2
from serve_apps.steering import Steering

_PAGE = {"type": "string", "description": "Asks for a key and shows the document; holds no data itself"}


def http_app(predictor: Predictor, steering: Steering, desk: Desk | None = None) -> HttpApp:
    """The ASGI application of a predictor; its end closes the predictor. Without a desk it has no `v1/jobs`."""
    predictor.failures.told_to(steering.hear_failures)
    keys = KeyEndpoints(predictor.config.workload, steering)
    protocols = [
        *V1(predictor, steering).endpoints(),
        *_jobs(predictor, desk),
        *keys.endpoints(),
        *V2(predictor).endpoints(),
        Comparing(predictor.config, steering).endpoint(),
        metrics_endpoint(predictor, steering),
    ]
    return HttpApp(
        [*protocols, _docs(predictor.config.workload, protocols)],
        access=predictor.access,
        limits=predictor.config.limits,
        on_shutdown=predictor.close,
        on_failure=predictor.failures.add,
    )


def _jobs(predictor: Predictor, desk: Desk | None) -> list[Endpoint]:
    if desk is None:
        return []
    config = predictor.config
    jobs = V1Jobs(config, revisions=predictor.revisions, desk=desk)
    named = (config.contract, predictor.revisions.current.extra_names)
    header = schemas.revision_header(config.contract)
    return jobs.endpoints(schemas.predict_body(*named), schemas.columns_body(*named), header)


def _docs(workload: str, protocols: list[Endpoint]) -> Endpoint:
    async def docs(_: Request) -> Response:
        return response

    own = Endpoint(
        method="GET",
        path="/docs",
        action=Action.READ_STATUS,
        handler=docs,
        summary="This document; as a page, which needs no key, for browsers",
        other_answers={HTML: _PAGE},
        page=docs_page.page(),
    )
    response = Response.of(openapi.document(workload, [*protocols, own])).with_headers({"Vary": "Accept"})
    return own
