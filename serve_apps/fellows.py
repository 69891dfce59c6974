"""How many replicas answer for a workload that scales, so that each gives its part of a key's allowance."""

import asyncio
import logging
from collections.abc import Callable

from ray import serve

logger = logging.getLogger(__name__)

# For so long after replicas come or go a key may get more, or less, than its limit.
ASK_EVERY_S = 2.0


async def follow(ask: Callable[[], int], tell: Callable[[int], None], *, every_s: float = ASK_EVERY_S) -> None:
    """Tells, for ever, what is asked in a thread; a question without an answer changes nothing."""
    while True:
        try:
            tell(await asyncio.to_thread(ask))
        # The outer edge of Serve's controller: while it is started anew, what was known last goes on.
        except Exception:
            logger.exception("How many replicas answer is not known; asking again.")
        await asyncio.sleep(every_s)


def num_running() -> int:
    """How many replicas of this replica's own deployment answer; asks Serve's controller."""
    own = serve.get_replica_context()
    deployment = serve.status().applications[own.app_name].deployments[own.deployment]
    # One that takes in a new routing record goes on answering.
    return sum(count for state, count in deployment.replica_states.items() if state in ("RUNNING", "UPDATING"))
