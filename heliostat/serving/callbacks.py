"""Telling a caller that a long answer is there: which addresses may be told, and a signature that the caller can check.

The signature is that of Standard Webhooks: HMAC-SHA256 over id, timestamp and body.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import SplitResult, unquote, urlsplit

from heliostat.errors import ContractError

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32
_PORT_BY_SCHEME = {"http": 80, "https": 443}


def secret_of(random_bytes: bytes) -> str:
    """A secret as it is shown, once, to the caller."""
    return SECRET_PREFIX + base64.b64encode(random_bytes).decode()


def signed_headers(secret: str, body: bytes, *, message_id: str, timestamp_s: int) -> dict[str, str]:
    """The three headers of a callback; repeated deliveries keep the id and get a new timestamp."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    digest = hmac.new(key, f"{message_id}.{timestamp_s}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def refuse_address(url: str, prefixes: Sequence[str], *, what: str, any_query: bool) -> None:
    """ContractError unless the URL or path lies below one of the prefixes that the workload declares.

    Compared part by part: host, port and whole path segments. What two programs could read in two ways is refused.
    Without `any_query` the query must be the prefix's own: a store takes another server's address from it.
    """
    if any(_is_below(url, prefix, any_query=any_query) for prefix in prefixes):
        return
    allowed = ", ".join(prefixes) or "nothing; the workload declares none"
    raise ContractError(
        f"{what} must lie below one of the addresses that the workload allows ({allowed}); got {url!r:.200}."
    )


def _is_below(url: str, prefix: str, *, any_query: bool) -> bool:
    if any(ord(letter) <= 32 or ord(letter) >= 127 or letter in '\\"<>^`{|}' for letter in url):
        return False
    try:
        asked, allowed = urlsplit(url), urlsplit(prefix)
        same_place = _place(asked) == _place(allowed) and (any_query or asked.query == allowed.query)
    except ValueError:
        return False
    if not same_place or asked.username is not None or asked.password is not None or asked.fragment:
        return False
    path = unquote(asked.path)
    # A path that is still quoted after one round, or that climbs, may mean another place to whoever opens it.
    if "%" in path or "\\" in path or "//" in path or {".", ".."} & set(path.split("/")):
        return False
    folder = allowed.path.rstrip("/")
    return path == folder or path.startswith(f"{folder}/")


def _place(address: SplitResult) -> tuple[str, str, int | None]:
    port = address.port or _PORT_BY_SCHEME.get(address.scheme)
    return address.scheme.lower(), (address.hostname or "").lower(), port
