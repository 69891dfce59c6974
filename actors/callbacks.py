"""Tells a caller that a long answer ended: one POST, signed, to an address that the workload allows.

Reads:  nothing
Writes: nothing
"""

import json
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO

from heliostat.answer_jobs import AnswerJob, shown
from heliostat.serving.callbacks import signed_headers

TIMEOUT_S = 10.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An allowed address must not send us to one that is not."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


# No proxies either: the address is the one that was allowed, and what it resolves to.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def deliver(job: AnswerJob, secret: str | None) -> str | None:
    """None when the address answered with 2xx, else why it did not count as told."""
    if secret is None or job.callback_url is None:
        return "there is no secret to sign with; make one with POST v1/webhook-secret"
    body = json.dumps({"type": f"job.{job.status}", "data": shown(job)}).encode()
    headers = signed_headers(secret, body, message_id=job.job_id, timestamp_s=int(time.time()))
    request = urllib.request.Request(
        job.callback_url, data=body, method="POST", headers={"Content-Type": "application/json", **headers}
    )
    try:
        with _opener.open(request, timeout=TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return f"it answered {error.code}"
    except (OSError, HTTPException) as error:
        return f"{type(error).__name__}: {error}"[:300]
