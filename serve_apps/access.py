"""Who may ask what, and how often: the same for every protocol of a replica, so that a key has one allowance."""

from collections.abc import Callable

from heliostat.declared.serving import Serving
from heliostat.govern.roles import Action, Role, is_allowed
from heliostat.records import KeyRecord
from heliostat.serving.authentication import Keyring
from heliostat.serving.problem import ForbiddenError
from heliostat.serving.rate_limit import KeyLimits

# A rollback must get through when a caller runs wild.
NEVER_LIMITED = frozenset({Action.PROMOTE, Action.ROLL_BACK, Action.HOLD})
_MOST_ADMITTED, _LONGEST_ADMITTED = 1000, 200


class Access:
    """The door of one replica; `keyring` gives the keys that are valid now."""

    def __init__(self, keyring: Callable[[], Keyring], limits: Serving) -> None:
        self._keyring = keyring
        # Who was admitted to what, until the keys change. What a request says is looked up whole, by its hash, so how
        # long that takes tells nothing of any key; only what was admitted is kept.
        self._admitted: dict[tuple[str, Action], KeyRecord] = {}
        self._admitted_by: Keyring | None = None
        self._key_limits = KeyLimits(limits.requests_per_s, limits.burst_requests, num_replicas=limits.fewest_replicas)

    def share_among(self, num_replicas: int) -> None:
        """Every limit is one of so many replicas together, from now on."""
        self._key_limits.share_among(num_replicas)

    def admit(self, authorization: str | None, action: Action, *, now_s: float) -> KeyRecord:
        """The caller, who may do this; AccessError, ForbiddenError or RateLimitError if not."""
        keyring = self._keyring()
        if keyring is not self._admitted_by or len(self._admitted) > _MOST_ADMITTED:
            self._admitted, self._admitted_by = {}, keyring
        caller = self._admitted.get((authorization or "", action))
        if caller is None:
            caller = keyring.caller(authorization)
            _require(caller, action)
            if authorization is not None and len(authorization) <= _LONGEST_ADMITTED:
                self._admitted[authorization, action] = caller
        if action not in NEVER_LIMITED:
            self._key_limits.refuse(caller, now_s=now_s)
        return caller


def _require(caller: KeyRecord, action: Action) -> None:
    if action is Action.LABEL and caller.may_label is not None:
        if not caller.may_label:
            raise ForbiddenError(f"Key {caller.key_id} may not send labels; use one that was made to.")
    elif not is_allowed(Role.parse(caller.role), action):
        raise ForbiddenError(
            f"The role {caller.role!r} of key {caller.key_id} may not {action.phrase}; "
            f"that takes {action.smallest_role} or larger. Use such a key."
        )
