"""The key of every row: what it says itself, else what its request says for all, else its request and its place."""

from functools import lru_cache

from heliostat.errors import ContractError
from heliostat.serving.cells import Values

LONGEST_KEY = 1000
"""In characters: a key that a request says once is logged with each of its rows."""
_MOST_KEPT = 8192


def own_keys(key: str | None, request_id: str, *, num_rows: int) -> list[str]:
    """The keys of rows that say none."""
    if key:
        return [key] * num_rows
    numbers = _numbers(num_rows) if num_rows <= _MOST_KEPT else [f"/{row}" for row in range(num_rows)]
    return list(map(request_id.__add__, numbers))


def keys_of(given: Values, name: str, *, key: str | None, request_id: str) -> list[str]:
    """The keys that rows give in column `name`, completed in place; ContractError naming the first that is none."""
    if given.count(None) == len(given):
        return own_keys(key, request_id, num_rows=len(given))
    for index, own in enumerate(given):
        if own is None:
            given[index] = key or f"{request_id}/{index}"
        elif type(own) is not str or not own:
            raise ContractError(f"row {index}: column {name!r} must be text that is not empty; got {own!r:.80}.")
        elif len(own) > LONGEST_KEY:
            refuse_long_key(own, where=f"row {index}: column {name!r}")
    return given


def refuse_long_key(key: str, *, where: str) -> None:
    """ContractError when a key has over LONGEST_KEY characters."""
    if len(key) > LONGEST_KEY:
        raise ContractError(f"{where} may have {LONGEST_KEY} characters; got {len(key)}. Send a shorter one.")


@lru_cache(maxsize=16)
def _numbers(num_rows: int) -> list[str]:
    """How the keys of so many rows end; made once, because writing a number out is most of making its key."""
    return [f"/{row}" for row in range(num_rows)]
