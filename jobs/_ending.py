"""How a run ends that cannot go on: failed in the catalog and its journal, with one sentence, whatever broke it off."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from heliostat.errors import HeliostatError, TrainingError
from heliostat.learn.faults import named
from jobs import _entry
from jobs._giving_up import raised


@contextmanager
def ending(job: _entry.Job, run_id: str) -> Iterator[None]:
    """What is done within belongs to a started run: where it raises, the run has failed; raised is one sentence."""
    try:
        yield
    except HeliostatError as error:
        _fail(job, run_id, str(error))
        raise
    except Exception as error:
        told = (
            f"The run {run_id!r} was broken off by {named(raised(error)).removesuffix('.')}. "
            "Started again under the same name it goes on where it was; if it ends so again, give another name (--run)."
        )
        _fail(job, run_id, told)
        raise TrainingError(told) from error


@contextmanager
def judging(job: _entry.Job, numbers: Sequence[int]) -> Iterator[None]:
    """What is done within judges these versions: where it cannot, the journal says why (`judging_failed`)."""
    try:
        yield
    except HeliostatError as error:
        failed = {"versions": list(numbers), "error": str(error)}
        job.catalog.append("judging_failed", job.workload.name, failed, by=job.by, at=datetime.now(UTC))
        raise


def _fail(job: _entry.Job, run_id: str, told: str) -> None:
    failed = {"run": run_id, "error": told}
    job.catalog.end_run(run_id, status="failed", result=failed, by=job.by, at=datetime.now(UTC))
