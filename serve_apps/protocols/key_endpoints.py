"""API keys over HTTP, for admins: listed without their secrets, made with the secret shown once, revoked."""

import hashlib
from typing import Any

from heliostat.errors import ContractError
from heliostat.govern.roles import Action, Role
from heliostat.records import KeyRecord, KeyTerms
from heliostat.serving.problem import ForbiddenError, MalformedError
from serve_apps.asgi import Request, Response
from serve_apps.http import Endpoint
from serve_apps.protocols import schemas
from serve_apps.steering import NewKey, Steering

MAX_NAME_LENGTH = 100
_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "role": (str,),
    "requests_per_s": (int, float),
    "burst_requests": (int,),
    "may_label": (bool,),
    "all_workloads": (bool,),
}
_EXAMPLE = '{"name": "mobile app", "role": "caller", "requests_per_s": 50}'


class KeyEndpoints:
    """The handlers of `v1/keys` for one workload; every change is in the catalog's journal."""

    def __init__(self, workload: str, steering: Steering) -> None:
        self._workload = workload
        self._steering = steering

    def endpoints(self) -> list[Endpoint]:
        """What is answered, and to whom."""
        manage = Action.MANAGE_KEYS
        return [
            Endpoint(method="GET", path="/v1/keys", action=manage, handler=self.list, summary="The keys that count"),
            Endpoint(
                method="POST",
                path="/v1/keys",
                action=manage,
                handler=self.create,
                summary="Make a key; its secret is shown this once",
                body=schemas.KEY_BODY,
            ),
            Endpoint(
                method="DELETE",
                path="/v1/keys/{id}",
                action=manage,
                handler=self.revoke,
                summary="Revoke a key",
            ),
        ]

    async def list(self, request: Request) -> Response:
        """The keys of this workload and those of all workloads, without secrets."""
        records = [record for record in await self._steering.keys() if record.workload in (None, self._workload)]
        return Response.of({"keys": [_shown(record) for record in records]})

    async def create(self, request: Request) -> Response:
        """A new key for this workload, or for all of them when an admin of all asks so."""
        asked = _asked(await request.json())
        for_all = asked.pop("all_workloads", False)
        if for_all and _scope(request) is not None:
            raise ForbiddenError(f"A key of workload {self._workload!r} makes keys of this one only; use one for all.")
        new = NewKey(
            key_id=_key_id(request),
            name=asked.pop("name"),
            role=asked.pop("role"),
            workload=None if for_all else self._workload,
            terms=KeyTerms(**asked),
        )
        plaintext = await self._steering.create_key(new, by=request.by)
        shown = {"key_id": new.key_id, "name": new.name, "role": new.role, "workload": new.workload, **vars(new.terms)}
        response = Response.of({"key": plaintext, **shown}, status=201)
        return response.with_headers({"Cache-Control": "no-store"})

    async def revoke(self, request: Request) -> Response:
        """The key counts no longer; one that was revoked before stays so."""
        key_id = request.parameters["id"]
        found = [record for record in await self._steering.keys() if record.key_id == key_id]
        if found and _scope(request) not in (None, found[0].workload):
            raise ForbiddenError(f"Key {key_id!r:.80} is not only of workload {self._workload!r}; use an admin of all.")
        await self._steering.revoke_key(key_id, by=request.by)
        return Response.of({"key_id": key_id, "revoked": True})


def _asked(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict) or not {"name", "role"} <= document.keys():
        raise MalformedError(f"A key looks like {_EXAMPLE}; got {document!r:.80}.")
    unknown = sorted(document.keys() - _TYPES.keys())
    if unknown:
        raise MalformedError(f"Field {unknown[0]!r:.80} is not known; known are {', '.join(_TYPES)}.")
    for name, value in document.items():
        if value is not None and type(value) not in _TYPES[name]:
            raise MalformedError(f"{name} must be of JSON type {_TYPES[name][-1].__name__}; got {value!r:.80}.")
    name, role = document["name"], document["role"]
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise ContractError(f"name must be 1 to {MAX_NAME_LENGTH} printable characters; got {name!r:.120}.")
    if role not in [str(known) for known in Role]:
        raise ContractError(f"role must be one of {', '.join(str(known) for known in Role)}; got {role!r:.80}.")
    return {name: value for name, value in document.items() if value is not None}


def _scope(request: Request) -> str | None:
    """The one workload that the caller's key is for, None when it is for all."""
    return None if request.caller is None else request.caller.workload


def _key_id(request: Request) -> str:
    """Twelve hexadecimal digits that the same request of the same caller gives again."""
    caller = "" if request.caller is None else request.caller.key_id
    return hashlib.blake2b(f"{caller}/{request.request_id}".encode(), digest_size=6).hexdigest()


def _shown(record: KeyRecord) -> dict[str, Any]:
    return {name: value for name, value in record.to_json().items() if name != "hash"}
