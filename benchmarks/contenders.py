"""Who is compared: how each server is installed, configured, asked and started; ours and bare Ray first."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import clusters, questions
from benchmarks.places import ROOT, Places
from benchmarks.questions import FLOAT64, Protocol

STOP_GRACE_S = 5.0
PEERS = ROOT / "benchmarks" / "peers"
_OURS = "auth key, contract, write-ahead log, recorder, monitor and steward on; replicas = workers"


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server answers, the path that says when it is ready, and the headers that every request carries."""

    url: str
    ready_path: str
    headers: tuple[str, ...] = ()


Scale = Callable[[int], Address]
Up = Callable[[Places], AbstractContextManager[Scale]]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One server; `up` gives what starts it with so many workers, and stops it at the end."""

    name: str
    configuration: str
    row_protocol: Protocol
    column_protocols: tuple[Protocol, ...]
    up: Up
    requirements: Path | None = field(default=None)


def all_contenders() -> list[Contender]:
    """Ours first, then the others."""
    return [
        Contender(
            name="heliostat",
            configuration=_OURS,
            row_protocol=questions.vectors_v1("/vector/v1/predict"),
            column_protocols=(questions.one_tensor("/vector/v2/models/vector/infer", kind=FLOAT64),),
            up=_heliostat("benchmarks.mlp_vector", "/vector/v2/health/ready"),
        ),
        Contender(
            name="heliostat, 32 named columns",
            configuration="the same, but that each number is a column with its own name, limits, and place in the log",
            row_protocol=questions.rows_v1("/mlp/v1/predict"),
            column_protocols=(
                questions.arrow("/mlp/v1/predict"),
                questions.tensor_a_column("/mlp/v2/models/mlp/infer"),
            ),
            up=_heliostat("benchmarks.mlp", "/mlp/v2/health/ready"),
        ),
        Contender(
            name="ray serve, bare",
            configuration="@serve.batch(64, 2 ms), HAProxy mode, throughput preset, orjson, no access log",
            row_protocol=questions.instances("/"),
            column_protocols=(questions.matrix("/"),),
            up=_bare_ray,
        ),
        Contender(
            name="fastapi + uvicorn",
            configuration="async handler, orjson, uvloop, httptools, no access log, --workers",
            row_protocol=questions.instances("/predict"),
            column_protocols=(questions.matrix("/matrix"),),
            up=_program("fastapi", "/ready", _uvicorn),
            requirements=_requirements("fastapi"),
        ),
        Contender(
            name="litserve",
            configuration="max_batch_size=64, batch_timeout=2 ms, fast_queue, workers_per_device = num_api_servers",
            row_protocol=questions.instances("/predict"),
            column_protocols=(),
            up=_program("litserve", "/health", _module("litserve_server", "{port}", "{workers}")),
            requirements=_requirements("litserve"),
        ),
        Contender(
            name="bentoml",
            configuration="batchable, max_batch_size=256, max_latency_ms=1000, no metrics or access log, --api-workers",
            row_protocol=questions.instances("/predict", answer=None),
            column_protocols=(),
            up=_program("bentoml", "/readyz", _bentoml),
            requirements=_requirements("bentoml"),
        ),
        Contender(
            name="kserve",
            configuration="async predict, uvloop, no gRPC, no latency log, no access log, --workers",
            row_protocol=questions.instances("/v1/models/mlp:predict"),
            column_protocols=(questions.one_tensor("/v2/models/mlp/infer"),),
            up=_program("kserve", "/v2/models/mlp/ready", _kserve),
            requirements=_requirements("kserve"),
        ),
        Contender(
            name="triton (pytriton)",
            configuration="dynamic batcher with 2 ms, max_batch_size=4096, one instance a worker",
            row_protocol=questions.one_tensor_json("/v2/models/mlp/infer"),
            column_protocols=(questions.one_tensor("/v2/models/mlp/infer"),),
            up=_program("triton", "/v2/models/mlp/ready", _triton),
            requirements=_requirements("triton"),
        ),
    ]


def install(contender: Contender, places: Places) -> None:
    """The peer's own environment exists and holds exactly the pinned packages; done once."""
    if contender.requirements is None:
        return
    directory = places.peer(contender.requirements.stem)
    stamp = directory / "installed"
    wanted = contender.requirements.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"installing {contender.name} into {directory.relative_to(ROOT)} ...", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", str(contender.requirements)], check=True)
    for file in (PEERS / f"{directory.name}_site").glob("*.py"):
        (site_packages,) = directory.glob("lib/python3*/site-packages")
        shutil.copy(file, site_packages)
    stamp.write_text(wanted)


def _heliostat(module: str, ready_path: str) -> Up:
    @contextmanager
    def up(places: Places) -> Iterator[Scale]:
        with clusters.heliostat(places, module) as scale:

            def scaled(num_workers: int) -> Address:
                headers = (f"Authorization: Bearer {scale(num_workers)}",)
                return Address(url=places.settings.http_url, ready_path=ready_path, headers=headers)

            yield scaled

    return up


@contextmanager
def _bare_ray(places: Places) -> Iterator[Scale]:
    with clusters.bare_ray(places) as scale:

        def scaled(num_workers: int) -> Address:
            scale(num_workers)
            return Address(url=places.bare_settings.http_url, ready_path="/-/healthz")

        yield scaled


Command = Callable[[Path, Places, int], list[str]]


def _program(name: str, ready_path: str, command: Command) -> Up:
    @contextmanager
    def up(places: Places) -> Iterator[Scale]:
        running: list[subprocess.Popen[bytes]] = []

        def scaled(num_workers: int) -> Address:
            while running:
                _end(running.pop())
            with places.log(f"{name}-{num_workers}").open("wb") as log:
                process = subprocess.Popen(
                    command(places.peer(name) / "bin", places, num_workers),
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            running.append(process)
            return Address(url=f"http://127.0.0.1:{places.peer_port}", ready_path=ready_path)

        try:
            yield scaled
        finally:
            while running:
                _end(running.pop())

    return up


def _end(process: subprocess.Popen[bytes]) -> None:
    """The program and all that it started are gone: some leave their workers behind when they are asked to end."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _module(module: str, *arguments: str) -> Command:
    def command(binaries: Path, places: Places, num_workers: int) -> list[str]:
        given = {
            "port": places.peer_port,
            "workers": num_workers,
            "second": places.peer_port + 1,
            "third": places.peer_port + 2,
        }
        told = [argument.format(**given) for argument in arguments]
        return [str(binaries / "python"), "-m", f"benchmarks.peers.{module}", *told]

    return command


def _uvicorn(binaries: Path, places: Places, num_workers: int) -> list[str]:
    options = ["--host", "127.0.0.1", "--port", str(places.peer_port), "--workers", str(num_workers)]
    quick = ["--no-access-log", "--log-level", "warning", "--loop", "uvloop", "--http", "httptools"]
    return [str(binaries / "uvicorn"), "benchmarks.peers.fastapi_server:app", *options, *quick]


def _bentoml(binaries: Path, places: Places, num_workers: int) -> list[str]:
    options = ["--host", "127.0.0.1", "--port", str(places.peer_port), "--api-workers", str(num_workers)]
    return [str(binaries / "bentoml"), "serve", "benchmarks.peers.bentoml_server:Network", *options]


def _kserve(binaries: Path, places: Places, num_workers: int) -> list[str]:
    quiet = ["--enable_grpc", "false", "--enable_latency_logging", "false"]
    return _module("kserve_server", "--http_port", "{port}", "--workers", "{workers}", *quiet)(
        binaries, places, num_workers
    )


def _triton(binaries: Path, places: Places, num_workers: int) -> list[str]:
    return _module("triton_server", "{port}", "{workers}", "{second}", "{third}")(binaries, places, num_workers)


def _requirements(name: str) -> Path:
    return PEERS / f"{name}.txt"
