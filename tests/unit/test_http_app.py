"""The edge of a request: what a handler could not even word is told, and the next request is answered."""

import asyncio

import orjson

from heliostat.declared.serving import Serving
from heliostat.errors import ContractError
from heliostat.serving.authentication import Keyring
from serve_apps.access import Access
from serve_apps.http import Endpoint, HttpApp

LIMITS = Serving()


async def refuse(request):
    value = await request.json()
    raise ContractError(f"It must be a number; got {value!r:.80}.")


def asked(*bodies):
    endpoint = Endpoint(method="POST", path="/v1/it", action=None, handler=refuse, summary="Refuses all")
    access = Access(lambda: Keyring("toy"), LIMITS)
    app = HttpApp([endpoint], access=access, limits=LIMITS, on_shutdown=lambda: None, on_failure=print)

    async def scenario():
        kind = {b"content-type": b"application/json"}
        return [await app.respond("POST", "/v1/it", kind, body=body) for body in bodies]

    return [(response.status, orjson.loads(response.body)["detail"]) for response in asyncio.run(scenario())]


def test_what_is_nested_too_deeply_to_be_shown_is_a_bad_request():
    deep, plain = asked(b"[" * 1000 + b"]" * 1000, b'"a"')
    assert (deep[0], "nested too deeply" in deep[1]) == (400, True)
    assert plain == (422, "It must be a number; got 'a'.")
