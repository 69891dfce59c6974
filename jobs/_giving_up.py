"""Why Ray Train ends a run: at once where a worker told a fault that would come again, else after starts in vain."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.exceptions import OutOfMemoryError, RayTaskError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback, WorkerHealthCheckFailedError
from ray.train.v2._internal.execution.failure_handling import DefaultFailurePolicy, FailureDecision
from ray.train.v2.api.config import FailureConfig

from heliostat.errors import ContractError, HeliostatError, TrainingError, WorkloadError
from heliostat.learn.attempts import Attempt, last_places
from heliostat.learn.faults import named

MAX_WORKER_FAILURES = 5
COMES_AGAIN = (TrainingError, ContractError, WorkloadError)
LESS_MEMORY = (
    "Lower Training(batch_size) or num_workers, read rows while learning (stream=True), train on a shorter window, or "
    "on a larger node"
)


class TellingFailurePolicy(DefaultFailurePolicy):
    """Ray's policy, but what a worker says of the rows or the code ends the run: the same would come again.

    And losses of workers count only since the run last came further: `reached` names its newest whole checkpoint. A
    long run on nodes that others take away loses more workers than that, and yet comes to its end.
    """

    def __init__(self, failure_config: FailureConfig, *, reached: Callable[[], str | None]) -> None:
        super().__init__(failure_config)
        self._reached = reached
        self._last_reached = reached()

    def make_decision(self, training_failed_error: Any) -> FailureDecision:
        """Ray's decision, or the end."""
        if any(isinstance(cause, COMES_AGAIN) for cause in causes(training_failed_error).values()):
            return FailureDecision.RAISE
        reached = self._reached()
        if reached not in (None, self._last_reached):
            self._last_reached, self._worker_group_failures = reached, 0
        return super().make_decision(training_failed_error)


def causes(error: BaseException) -> dict[int, BaseException]:
    """What became of each worker that failed, by its rank, without what Ray wraps it in."""
    failures: Mapping[int, BaseException] = getattr(error, "worker_failures", {})
    return {rank: _bare(failure) for rank, failure in failures.items()}


def _bare(failure: BaseException) -> BaseException:
    if isinstance(failure, UserExceptionWithTraceback):
        return failure._base_exc
    return failure.health_check_failure if isinstance(failure, WorkerHealthCheckFailedError) else failure


def given_up(run_id: str, error: BaseException, attempts: Sequence[Attempt] = ()) -> str:
    """One sentence on why a run ended: what a worker said, or what became of the workers and where they were."""
    found = causes(error)
    told = [str(cause).strip() for cause in found.values() if isinstance(cause, HeliostatError)]
    if told:
        return told[0]
    end = f"The run {run_id!r} was given up after {MAX_WORKER_FAILURES} new starts that came no further"
    if any(_is_memory(cause) for cause in found.values()):
        return f"{end}: the node has too little memory for its workers{_at(attempts, found)}. {LESS_MEMORY}."
    if place := _at(attempts, found):
        return (
            f"{end}: its worker's process ended{place}, without an exception. Look there for os._exit or for a "
            f"library that crashes; if the kernel killed it for its memory: {LESS_MEMORY[0].lower()}{LESS_MEMORY[1:]}."
        )
    last = next(iter(found.values()), error)
    return f"{end}; the last worker ended with {named(raised(last))}. Its log is on the Train page of Ray's dashboard."


def raised(error: BaseException) -> BaseException:
    """What was raised where Ray tells a traceback as text, whose first line is no message."""
    while isinstance(error, RayTaskError) and isinstance(error.cause, BaseException) and error.cause is not error:
        error = error.cause
    return error


def _is_memory(cause: BaseException) -> bool:
    # Ray's monitor of memory ends actors so; the kernel's is told as one of several that may have ended a process.
    return isinstance(cause, OutOfMemoryError) or "running low on memory" in str(cause)


def _at(attempts: Sequence[Attempt], found: Mapping[int, BaseException]) -> str:
    """Where the processes ended that Ray found gone; empty where none left a trace.

    Of several workers that ended together, Ray has ended some because of another: the one that ended most often at one
    place is that other.
    """
    places = [ended for rank in found if (ended := last_places(attempts, rank=rank)) is not None]
    if not places:
        return ""
    num_alike, place = max(places)
    times = "once" if num_alike == 1 else f"{num_alike} times in a row"
    return f" {times} in {place}"
