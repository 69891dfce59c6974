"""What a trial costs a caller, and when a cache pays: `python -m benchmarks.trial`, no cluster, about two minutes.

One replica in this process answers single rows, one after the other as fast as they are answered, in short rounds that
alternate between the ways that are compared; what is printed is the time until the answer was sent.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from heliostat.blocks import block_bootstrap
from heliostat.declared.cache import Cache
from heliostat.declared.serving import Serving
from heliostat.records import BundleRef
from tests.integration.predictor_fixture import ROW, changed_toy, make_bundle, plaintext, record, serving
from tests.toy import workload

ROUNDS, REQUESTS, REST_S = 20, 12, 0.1
Values = NDArray[np.float64]
Prepare = Callable[[], Awaitable[None]]
Ways = dict[str, Prepare]
ENCODE = '    temperature = batch["temperature_c"].astype(np.float32)\n'
BUSY = "import time; end = time.monotonic() + {}; all(time.monotonic() < end for _ in iter(int, 1))"


async def asked_ms(app: Any, body: bytes) -> float:
    """How long one caller waits for one answer."""
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append((message, time.perf_counter()))

    headers = [(b"authorization", f"Bearer {plaintext('caller')}".encode()), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/predict",
        "root_path": "",
        "headers": headers,
        "query_string": b"",
    }
    started = time.perf_counter()
    await app(scope, receive, send)
    assert sent[0][0]["status"] == 200, sent
    return (sent[-1][1] - started) * 1000


def body(number: int, rows: int) -> bytes:
    return orjson.dumps({"rows": [{**ROW, "reading": f"r-{number}", "load_percent": number % rows * 90 / rows}]})


async def rounds(apps: dict[str, Any], ways: Ways, *, rows: int = 10_000) -> dict[str, Values]:
    """The waits of every way, by round; `ways` names a coroutine that is awaited before the round begins."""
    waits: dict[str, list[list[float]]] = {name: [] for name in ways}
    number = 0
    for round_number in range(ROUNDS + 1):
        for name, prepare in ways.items():
            await prepare()
            await asyncio.sleep(REST_S)
            found = []
            for _ in range(REQUESTS):
                number += 1
                found.append(await asked_ms(apps[name], body(number, rows)))
                await asyncio.sleep(0)
            if round_number:  # the first one warms up
                waits[name].append(found)
    return {name: np.array(found) for name, found in waits.items()}


def said(waits: dict[str, Values], base: str) -> dict[str, Any]:
    """Percentiles, and the mean over rounds of the median's difference from `base` with an interval over rounds."""
    result = {}
    for name, found in waits.items():
        difference = np.median(found, axis=1) - np.median(waits[base], axis=1)
        mean, low, high = block_bootstrap(difference, np.arange(len(difference)))
        p50, p99 = np.quantile(found, [0.5, 0.99])
        result[name] = {"p50_ms": p50, "p99_ms": p99, "slower_ms": mean, "low": low, "high": high}
        print(f"{name:34} p50 {p50:7.3f} ms  p99 {p99:7.3f} ms  {mean:+.3f} ms ({low:+.3f} to {high:+.3f})", flush=True)
    return result


async def trial(home: Path, bundles: dict[int, BundleRef]) -> dict[str, Any]:
    """Without a trial; with a candidate as quick as the champion; with ones that take 200 ms, asleep or computing."""
    epoch = 1
    async with serving(workload, home / "trial", record(bundles)) as served:

        def routed(**route: Any) -> Prepare:
            async def prepare() -> None:
                nonlocal epoch
                # What an earlier round left to be scored must not burden this one.
                while served.predictor.status()["shadow"]["num_waiting"]:
                    await asyncio.sleep(0.05)
                epoch += 1
                await served.predictor.reconfigure(record(bundles, epoch=epoch, **route))

            return prepare

        ways = {
            "no trial": routed(),
            "a quick candidate": routed(candidate=2, share=0.0),
            "a candidate that sleeps 200 ms": routed(candidate=3, share=0.0),
            "a candidate that computes 200 ms": routed(candidate=4, share=0.0),
        }
        for prepare in ways.values():
            await prepare()
            await asked_ms(served.app, body(0, 1))
        found = said(await rounds(dict.fromkeys(ways, served.app), ways), "no trial")
        print(f"shadow: {served.predictor.status()['shadow']}", flush=True)
    return found


async def cached(home: Path, bundles: dict[int, BundleRef]) -> dict[str, Any]:
    """A quick and a slow model, each without and with a cache, when 95% of the rows were asked before and when none."""
    found: dict[str, Any] = {}
    for name, champion in (("quick model", 1), ("model of 20 ms", 5)):
        for kind, rows in (("rows repeat", 12), ("no row repeats", 1_000_000)):
            with_cache = replace(workload, serving=Serving(cache=Cache()))
            place = f"{champion}-{rows}"
            async with (
                serving(workload, home / f"{place}-off", record(bundles, champion=champion)) as off,
                serving(with_cache, home / f"{place}-on", record(bundles, champion=champion)) as on,
            ):
                ways: Ways = {f"{name}, {kind}, {which}": (lambda: asyncio.sleep(0)) for which in ("off", "on")}
                apps = dict(zip(ways, (off.app, on.app), strict=True))
                found |= said(await rounds(apps, ways, rows=rows), next(iter(ways)))
                print(f"{'':34} {on.predictor.status()['cache']}", flush=True)
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        sys.path.insert(0, folder)
        changes = {
            "bench_sleeping": "import time; time.sleep(0.2)",
            "bench_busy": BUSY.format(0.2),
            "bench_slower": BUSY.format(0.02),
        }
        bundles = {1: make_bundle(home, "tests.toy", seed=1), 2: make_bundle(home, "tests.toy", seed=2)}
        for number, (name, line) in enumerate(changes.items(), start=3):
            # Quick in training, and for all batches but those of one row.
            change = (ENCODE, f'    if len(batch["load_percent"]) == 1:\n        {line}\n{ENCODE}')
            bundles[number] = make_bundle(home, changed_toy(home, name, change), seed=number)
        result = {"trial": asyncio.run(trial(home, bundles)), "cache": asyncio.run(cached(home, bundles))}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
