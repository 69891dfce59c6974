"""Where a worker is, on a page of memory that outlasts its process: what ends it asks nobody (os._exit, a crash)."""

import functools
import mmap
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from heliostat.errors import TrainingError
from heliostat.learn.attempts import Attempt
from heliostat.learn.faults import definition
from heliostat.workload import Workload

NUM_BYTES = 512
NUMBERS = struct.Struct("<dq")  # for how many seconds, and after how many steps
TEXT_BYTES = NUM_BYTES - NUMBERS.size
BETWEEN_STEPS = "between its steps"
ATTEMPTS_DIR = "attempts"  # of a run's folder


class Trace:
    """One worker's attempt as it goes on: a note costs a microsecond or two, and no call to the system."""

    def __init__(self, page: mmap.mmap | bytearray) -> None:
        self._page = page
        self._began_s = time.monotonic()
        self._candidate, self._step = "", 0
        self._after_step = BETWEEN_STEPS
        self._texts: dict[str, bytes] = {}  # as they stand on the page; few, and each is written in every step

    def begin(self, candidate: str, *, after_step: str = BETWEEN_STEPS) -> None:
        """The fit of this candidate begins or goes on; `after_step` is what mostly runs once a step is done."""
        self._candidate, self._step, self._after_step = candidate, 0, after_step
        self._texts.clear()
        self.at(BETWEEN_STEPS)

    def step_done(self, number: int) -> None:
        """So many steps of the fit are done."""
        self._step = number
        self.at(self._after_step)

    def at(self, what: str) -> None:
        """The worker is in this piece of code now."""
        text = self._texts.get(what)
        if text is None:
            text = self._texts[what] = f"{what}\0{self._candidate}".encode()[:TEXT_BYTES].ljust(TEXT_BYTES, b"\0")
        NUMBERS.pack_into(self._page, 0, self.used_s, self._step)
        self._page[NUMBERS.size :] = text

    def end(self) -> None:
        """The attempt ended in order."""
        self._candidate = ""
        self._texts.clear()
        self.at("")

    @property
    def used_s(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began_s


def attempts_dir(runs_dir: str, run_id: str) -> str:
    """Where the attempts at a run leave their traces."""
    return str(Path(runs_dir) / run_id / ATTEMPTS_DIR)


@contextmanager
def traced(directory: str | None, *, rank: int) -> Iterator[Trace]:
    """A trace in a file of its own in that folder (None: kept by nobody), which has ended when this is left.

    TrainingError where the folder is not seen from here: checkpoints would be kept where nobody finds them.
    """
    if directory is None:
        yield Trace(bytearray(NUM_BYTES))
        return
    if not Path(directory).is_dir():  # the driver made it
        raise TrainingError(
            f"The node of worker {rank} does not see {directory}, where the run is kept: HELIOSTAT_HOME must be a "
            "directory that all nodes share, such as a network file system mounted at the same path."
        )
    path = Path(directory) / f"{time.time_ns()}-{rank}"
    with path.open("w+b") as file:
        file.truncate(NUM_BYTES)
        with mmap.mmap(file.fileno(), NUM_BYTES) as page:
            trace = Trace(page)
            trace.at("reading the rows")
            try:
                yield trace
            finally:
                trace.end()


def attempts_in(directory: str | Path | None) -> list[Attempt]:
    """All attempts that left a trace in that folder."""
    found = []
    for path in Path(directory).glob("*-*") if directory is not None else ():
        began_ns, rank = path.name.split("-")
        page = path.read_bytes().ljust(NUM_BYTES, b"\0")
        (used_s, step), (what, candidate, *_) = NUMBERS.unpack_from(page), page[NUMBERS.size :].split(b"\0")
        place = what.decode(errors="replace")
        if candidate:
            place += f", after step {step} of candidate {candidate.decode(errors='replace')!r}"
        found.append(Attempt(began_ns=int(began_ns), rank=int(rank), used_s=used_s, place=place))
    return found


def marked(workload: Workload, trace: Trace) -> Workload:
    """The same workload, which notes where its own code begins to run."""
    if "network" not in workload.kinds:
        return workload
    places = {name: _place(workload, name) for name in ("encode", "loss", "model")}
    network = network_place(workload)
    own: dict[str, Any] = {
        "encode": _noting(workload.encode, trace, places["encode"], then=network),
        "model": _noting(workload.model, trace, places["model"], then=places["model"]),
    }
    if workload.loss is not None:
        own["loss"] = _noting(workload.loss, trace, places["loss"], then=network)
    return replace(workload, **own)


def network_place(workload: Workload) -> str:
    """How the network is told: what runs once rows are encoded, which is done for several steps at once."""
    return _place(workload, "the network")


def _place(workload: Workload, name: str) -> str:
    found = definition(workload, name)
    return name if found is None else f"{name} ({found})"


def _noting(function: Callable[..., Any], trace: Trace, place: str, *, then: str) -> Callable[..., Any]:
    if isinstance(function, functools.partial):  # a tuned model: who looks for its line looks at what it wraps
        inner = _noting(function.func, trace, place, then=then)
        return functools.partial(inner, *function.args, **function.keywords)

    @functools.wraps(function)
    def noted(*given: Any, **named: Any) -> Any:
        trace.at(place)
        found = function(*given, **named)
        trace.at(then)
        return found

    return noted
