"""Loads on an HTTP server, made by wrk: as fast as so many connections go, or so many requests a second."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

SCRIPTS = Path(__file__).parent
CONNECTIONS_WHEN_PACED = 256
PACED_WARM_UP_S = 1  # as in paced.lua: opening so many connections at once holds all of them up


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request, as bytes in a file because wrk's scripts read it from there."""

    path: str
    body_file: Path
    headers: tuple[str, ...]
    num_rows: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a load saw; `failed` are broken connections, time-outs and answers other than 2xx and 3xx."""

    requests_per_s: float
    rows_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    failed: int

    def to_json(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


class LoadError(Exception):
    """wrk could not load a server to the end."""


def require_wrk() -> None:
    """Ends the program with one sentence when wrk is not installed."""
    if shutil.which("wrk") is None:
        raise SystemExit("error: wrk is not installed; on Debian and Ubuntu: apt install wrk")


def closed(url: str, question: Question, *, connections: int, seconds: int) -> Measured:
    """Every connection sends its next request as soon as it has the answer to its last."""
    return _run(url, question, script="post.lua", connections=connections, seconds=seconds, arguments=[])


def paced(url: str, question: Question, *, requests_per_s: float, seconds: int) -> Measured:
    """An open loop: latency counts from when a request was due, of the `seconds` after a warm-up (see `paced.lua`)."""
    return _run(
        url,
        question,
        script="paced.lua",
        connections=CONNECTIONS_WHEN_PACED,
        seconds=PACED_WARM_UP_S + seconds,
        arguments=[f"{requests_per_s:.3f}"],
    )


def _run(
    url: str, question: Question, *, script: str, connections: int, seconds: int, arguments: Sequence[str]
) -> Measured:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPTS / script)]
    told = [str(question.body_file), *arguments, *question.headers]
    done = subprocess.run([*command, url + question.path, "--", *told], capture_output=True, text=True, check=False)
    results = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or len(results) != 1:
        raise LoadError(f"wrk failed: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    found = json.loads(results[0])
    requests_per_s = (found["requests"] - found["failed"]) / found["seconds"]
    return Measured(
        requests_per_s=requests_per_s,
        rows_per_s=requests_per_s * question.num_rows,
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        max_ms=found["max_ms"],
        failed=found["failed"],
    )
