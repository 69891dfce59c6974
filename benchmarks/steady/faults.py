"""Faults and changes under a steady load of POSTs, and of gRPC calls, that nobody repeats."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from actors import handles
from benchmarks.steady.grpc_load import GrpcLoad
from benchmarks.steady.happenings import MODULE, NAME, Faults, Happen
from benchmarks.steady.installation import ROW, Toys
from benchmarks.steady.load import Figures, Load, Sent
from heliostat.store.lake import Lake

__all__ = ["MODULE", "NAMES", "measure"]

NAMES = (
    "nothing",
    "kill",
    "upgrade",
    "broken-constructor",
    "broken-encode",
    "broken-bundle",
    "promote",
    "rollback",
    "key-change",
    "upgrade-busy",
    "ingress",
    "revision",
)
REQUESTS_PER_S = 20.0  # for each kind of connection
BUSY = 2.0  # times the rate, for the case that has it in its name
LARGE_REQUESTS_PER_S = 1.0
NUM_LARGE_ROWS = 3_500  # about 300 KB of JSON, above the ingress's buffer


@dataclass(frozen=True, kw_only=True)
class Case:
    """What was seen of one kind of load while one thing happened."""

    name: str
    load: str
    figures: Figures
    num_lost: int
    num_twice: int
    num_copies: int
    said: str


async def measure(toys: Toys, versions: Sequence[int], *, only: Sequence[str] | None) -> list[str]:
    """The lines of a table with one line a case and kind of load."""
    faults = Faults(toys, versions)
    lines = [
        "| what happened | load | sent | failed | lost or twice in the lake | p50 / p99 / max ms | |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in only or NAMES:
        for case in await _case(toys, name, faults.of(name)):
            lines.append(_line(case))
            print(lines[-1], flush=True)
    return lines


async def _case(toys: Toys, name: str, happen: Happen) -> list[Case]:
    times = BUSY if name.endswith("-busy") else 1.0
    loads: dict[str, Load | GrpcLoad] = {
        "new connections": _load(toys, fresh=True, times=times),
        "kept connections": _load(toys, fresh=False, times=times),
    }
    if name == "kill":
        loads["bodies of 300 KB"] = _load(toys, fresh=True, is_large=True)
    if name in ("nothing", "kill", "upgrade"):
        loads["gRPC"] = GrpcLoad(
            target=f"127.0.0.1:{toys.settings.ports.grpc}",
            model=NAME,
            key=toys.key("caller"),
            row=ROW,
            requests_per_s=REQUESTS_PER_S / 2,
        )
    recorder = handles.recorder(NAME)
    copies_before = int(recorder.status()["num_duplicates"])  # type: ignore[call-overload]
    running = [asyncio.create_task(load.run()) for load in loads.values()]
    await asyncio.sleep(3)
    said = await happen()
    await asyncio.sleep(5)
    for load in loads.values():
        load.stop()
    await asyncio.gather(*running)
    await asyncio.to_thread(recorder.drain)
    num_copies = int(recorder.status()["num_duplicates"])  # type: ignore[call-overload]
    copies = num_copies - copies_before if num_copies >= copies_before else num_copies
    counts = Counter(_ids_in_lake(toys))
    return [_seen(name, kind, load.sent, counts, copies=copies, said=said) for kind, load in loads.items()]


def _seen(name: str, kind: str, sent: list[Sent], counts: Counter[str], *, copies: int, said: str) -> Case:
    ids = [identifier for each in sent for identifier in each.ids]
    return Case(
        name=name,
        load=kind,
        figures=Figures.of(sent),
        num_lost=sum(counts[identifier] == 0 for identifier in ids),
        num_twice=sum(counts[identifier] > 1 for identifier in ids),
        num_copies=copies,
        said=said,
    )


def _load(toys: Toys, *, fresh: bool, is_large: bool = False, times: float = 1.0) -> Load:
    kind = f"{time.monotonic_ns()}-{fresh}-{is_large}"
    num_rows = NUM_LARGE_ROWS if is_large else 1
    return Load(
        url=f"{toys.settings.http_url}/{NAME}/v1/predict",
        key=toys.key("caller"),
        make_rows=lambda number: [{**ROW, "reading": f"{kind}-{number}-{row}"} for row in range(num_rows)],
        requests_per_s=LARGE_REQUESTS_PER_S if is_large else times * REQUESTS_PER_S,
        fresh=fresh,
    )


def _ids_in_lake(toys: Toys) -> list[str]:
    schema = pa.schema([("id", pa.string())])
    table = Lake(toys.settings.lake_uri).read(NAME, "predictions", columns=["id"], schema=schema)
    ids: list[str] = table["id"].to_pylist()
    return ids


def _line(case: Case) -> str:
    seen = case.figures
    why = "; ".join(f"{num} times {reason}" for reason, num in seen.failures.items())
    copies = f"{case.num_copies} copies dropped" if case.num_copies else ""
    said = "; ".join(filter(None, [case.said, copies, why]))
    times = f"{seen.p50_ms:.0f} / {seen.p99_ms:.0f} / {seen.max_ms:.0f}"
    return (
        f"| {case.name} | {case.load} | {seen.num_sent} | **{seen.num_failed}** "
        f"| {case.num_lost} / {case.num_twice} | {times} | {said} |"
    )
