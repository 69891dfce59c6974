"""A process beside a replica that scores rows at a lower priority: whatever a version does there, no caller waits.

A thread would share the interpreter's lock with the callers' requests: a model that spends 200 ms in Python would cost
each of them some of it.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.learn.bundle import ServedModel
from heliostat.records import BundleRef, Route
from heliostat.serving.authentication import Keyring
from heliostat.store.bundles import read_bundle
from serve_apps.engine.versions import Live, LoadedVersion, Scorer

logger = logging.getLogger(__name__)
NICENESS = 10
ANSWER_TIMEOUT_S = 5.0
LOAD_TIMEOUT_S = 120.0  # to start a process on a busy node, and to load a bundle in it
WATCH_S = 1.0
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from serve_apps.engine.shadow_process import serve; serve(int(sys.argv[2]))"
)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a version said to rows: probabilities, or why it gave none; the time is the model's own."""

    probabilities: NDArray[np.float64] | None
    error: str | None
    latency_ms: float | None
    has_ended: bool = False


class ShadowProcess:
    """The replica's end: started with the first question, and again after it ended; used by one thread.

    Networks answer on `device`, as in the replica: on another their times could not be compared with the champion's.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._running: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._loaded: set[tuple[int, BundleRef]] = set()
        self._asked_s = time.monotonic()
        self._is_over = False

    @property
    def process_id(self) -> int | None:
        """The id of the process; None while there is none."""
        return None if self._running is None else self._running.pid

    def ask(self, live: Live, number: int, table: pa.Table) -> Said:
        """What version `number` says; a process that hangs or dies is an error of the version that was asked."""
        version = live.version_by_number[number]
        wanted = (number, version.bundle)
        timeout_s = ANSWER_TIMEOUT_S if wanted in self._loaded else LOAD_TIMEOUT_S
        self._asked_s = time.monotonic()
        try:
            connection = self._connected()
            connection.send((number, _described(version, self._device), sorted(live.version_by_number), _packed(table)))
            if not connection.poll(timeout_s):
                return self._ended(f"gave no answer within {timeout_s:g} s")
            probabilities, error, latency_ms = connection.recv()
        except (EOFError, OSError):
            code = None if self._running is None else self._running.wait()
            return self._ended(f"its process ended with exit code {code}")
        self._loaded.add(wanted)
        scores = (
            None
            if probabilities is None
            else np.frombuffer(probabilities, np.float64).reshape(table.num_rows, *_shape(version))
        )
        return Said(probabilities=scores, error=error, latency_ms=latency_ms)

    def stop_if_idle(self, idle_s: float) -> None:
        """The process has ended when it was not asked for that long."""
        if time.monotonic() - self._asked_s > idle_s:
            self.stop()

    def stop(self) -> None:
        """The process has ended; the next question starts another."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
        if self._connection is not None:
            self._connection.close()
        self._running = self._connection = None
        self._loaded.clear()

    def kill(self) -> None:
        """Whatever it is doing ends, and a question that waits gets an error; may be called by any thread."""
        self._is_over = True
        running = self._running
        if running is not None:
            running.kill()

    def _connected(self) -> Connection:
        if self._connection is None:
            ours, theirs = Pipe()
            arguments = [sys.executable, "-c", _START, json.dumps(sys.path), str(theirs.fileno())]
            self._running = subprocess.Popen(arguments, pass_fds=[theirs.fileno()], stdout=sys.__stderr__)
            theirs.close()
            self._connection = ours
            if self._is_over:
                self._running.kill()
        return self._connection

    def _ended(self, why: str) -> Said:
        self.stop()
        return Said(probabilities=None, error=why, latency_ms=None, has_ended=True)


def serve(descriptor: int) -> None:
    """Answer questions on the connection until it is closed or the parent is gone."""
    os.nice(NICENESS)
    logging.basicConfig(level=logging.INFO, format="shadow: %(message)s")
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    connection = Connection(descriptor)
    scorer = Scorer()
    held: dict[int, LoadedVersion] = {}
    try:
        while True:
            number, described, kept, data = connection.recv()
            held = {other: version for other, version in held.items() if other in kept}
            connection.send(_answer(held, number, described=described, data=data, scorer=scorer))
    except EOFError:
        return


def _end_with(parent: int) -> None:
    # A model that never returns would never see the connection close.
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


def _answer(
    held: dict[int, LoadedVersion],
    number: int,
    *,
    described: Mapping[str, Any],
    data: bytes,
    scorer: Scorer,
) -> tuple[bytes | None, str | None, float | None]:
    try:
        if number not in held or held[number].bundle != described["bundle"]:
            held[number] = _load(**described)
    # The outer edge of a bundle's own code: that it cannot be loaded is what is to be found out here.
    except Exception as error:
        logger.exception("Version %d could not be loaded.", number)
        return None, f"could not be loaded: {type(error).__name__}: {error}"[:200], None
    with pa.ipc.open_stream(data) as reader:
        table = reader.read_all()
    started_s = time.perf_counter()
    scores = scorer.answers(_live(held), number, table)
    latency_ms = (time.perf_counter() - started_s) * 1000
    if scores is None:
        return None, scorer.reason_by_version[number], latency_ms
    return np.ascontiguousarray(scores, np.float64).tobytes(), None, latency_ms


def _unpacked(data: bytes, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.frombuffer(data, np.float64).reshape(shape)


def _shape(version: LoadedVersion) -> tuple[int, ...]:
    own = version.model.workload.task.shape
    return (own[0] + version.num_missing,) if version.num_missing else own


def _described(version: LoadedVersion, device: str) -> dict[str, Any]:
    """All of a loaded version but the model itself, and where that is to answer."""
    return {
        "device": device,
        "bundle": version.bundle,
        "has_other_columns": version.has_other_columns,
        "renamed": dict(version.renamed),
        "num_missing": version.num_missing,
    }


def _load(
    bundle: BundleRef, *, device: str, has_other_columns: bool, renamed: Mapping[str, str], num_missing: int
) -> LoadedVersion:
    model = ServedModel.load(read_bundle(bundle.uri, bundle.hash))
    model.move_to(device)
    model.warm()
    return LoadedVersion(
        bundle=bundle, model=model, has_other_columns=has_other_columns, renamed=renamed, num_missing=num_missing
    )


def _live(held: Mapping[int, LoadedVersion]) -> Live:
    return Live(route=Route(), keyring=Keyring(""), version_by_number=held)


def _packed(table: pa.Table) -> Any:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
