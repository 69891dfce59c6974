"""The page that a browser gets at `docs`: the same for every workload, without a secret, complete in itself."""

import base64
import functools
import hashlib
from pathlib import Path

from serve_apps.asgi import Response
from serve_apps.http import HTML

_HERE = Path(__file__).parent


@functools.cache
def page() -> Response:
    """The page, which asks for a key and fetches the document with it; reads three files beside this one."""
    style, script = _text("page.css"), _text("page.js")
    body = _text("page.html").replace("STYLE", style).replace("SCRIPT", script)
    return Response(
        body=body.encode(),
        content_type=f"{HTML}; charset=utf-8",
        headers={
            "Content-Security-Policy": _policy(style, script),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
            "Vary": "Accept",
        },
    )


def _policy(style: str, script: str) -> str:
    """Nothing runs but this style and this script, and they reach nothing but this server."""
    return (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(name: str) -> str:
    return (_HERE / name).read_text()
