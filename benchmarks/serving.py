"""Heliostat beside other servers: one after the other on this machine, the same model, the same rows, loaded by wrk.

Every server is started with 1 and with 2 workers, asked for an answer that is compared with the network's own, loaded,
and stopped; rounds over all of them share what noise the machine has. Results pile up in build/bench-serving, the
tables made of all of them, and a verdict on every target, are written between the two marks of docs/benchmarks.md:
nothing is left to be edited by hand. `make bench-serving` does two rounds.
"""

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks import in_process, load, questions, tables
from benchmarks.contenders import Address, Contender, all_contenders, install
from benchmarks.load import Measured, Question
from benchmarks.network import network, probabilities
from benchmarks.places import DEFAULT_BASE_PORT, Places
from benchmarks.questions import Protocol

WORKER_COUNTS = (1, 2)
READY_TIMEOUT_S = 120.0
WARM_UP_S = 1
SHARE_OF_PEAK = 0.8
MANY_ROWS = 4096
TOLERANCE = 1e-5


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _arguments().parse_args(argv)
    load.require_wrk()
    places = Places(base_port=options.base_port)
    if options.fresh:
        places.results.unlink(missing_ok=True)
    chosen = [each for each in all_contenders() if not options.only or each.name.split()[0].rstrip(",") in options.only]
    there = [contender for contender in chosen if _is_done(contender, places, lambda each: install(each, places))]
    for _ in range(options.rounds):
        _keep(places, in_process.measure(questions.rows(MANY_ROWS)))
        for contender in there:
            _keep(places, {"server": contender.name, "load_before": round(os.getloadavg()[0], 2)})
            _is_done(contender, places, lambda each: _measure(each, places, seconds=options.seconds))
    tables.write(places, all_contenders())
    return 0


def _is_done(contender: Contender, places: Places, what: Callable[[Contender], None]) -> bool:
    try:
        what(contender)
    # The outer edge of programs of others: one that does not come up must not cost what was measured of the rest.
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        _keep(places, {"server": contender.name, "workers": "any", "error": f"{type(error).__name__}: {error!s:.300}"})
        return False
    return True


def _measure(contender: Contender, places: Places, *, seconds: int) -> None:
    with contender.up(places) as scale:
        for num_workers in WORKER_COUNTS:
            try:
                address = scale(num_workers)
                _wait_until_ready(address)
                _require_right(contender.row_protocol, address, num_rows=3)
                for protocol in contender.column_protocols:
                    _require_right(protocol, address, num_rows=MANY_ROWS)
            except ServerError as error:
                _keep(places, {"server": contender.name, "workers": num_workers, "error": str(error)})
                continue
            _load_all(contender, places, address, num_workers=num_workers, seconds=seconds)


def _load_all(contender: Contender, places: Places, address: Address, *, num_workers: int, seconds: int) -> None:
    row_loads = [("1 row x 1", 1, 1), ("1 row x 32", 1, 32), ("64 rows x 8", 64, 8)]
    loads = [(name, contender.row_protocol, num_rows, connections) for name, num_rows, connections in row_loads]
    names = [tables.columns_load(protocol.name) for protocol in contender.column_protocols]
    loads += [(name, each, MANY_ROWS, 1) for name, each in zip(names, contender.column_protocols, strict=True)]
    for name, protocol, num_rows, connections in loads:
        question = _question(protocol, places, address, num_rows=num_rows)
        load.closed(address.url, question, connections=connections, seconds=WARM_UP_S)
        measured = load.closed(address.url, question, connections=connections, seconds=seconds)
        _keep_load(places, contender, num_workers, load_name=name, measured=measured, seconds=seconds)
        if contender.name == tables.OURS and connections == max(count for _, _, count in row_loads):
            rate = SHARE_OF_PEAK * measured.requests_per_s
            at_share = load.paced(address.url, question, requests_per_s=rate, seconds=2 * seconds)
            _keep_load(places, contender, num_workers, load_name=tables.PACED, measured=at_share, seconds=2 * seconds)


class ServerError(Exception):
    """A server did not start, or answered wrongly."""


def _wait_until_ready(address: Address) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    status: object = "no connection"
    while time.monotonic() < deadline:
        try:
            status, _, _ = _ask(address, "GET", address.ready_path)
        except OSError as error:
            status = error
        if status == 200:
            return
        time.sleep(0.2)
    raise ServerError(f"not ready after {READY_TIMEOUT_S:.0f} s: {status}")


def _require_right(protocol: Protocol, address: Address, *, num_rows: int) -> None:
    inputs = questions.rows(num_rows)
    body, headers = protocol.encode(inputs)
    status, answer_headers, answer = _ask(address, "POST", protocol.path, body=body, headers=headers)
    if status != 200:
        raise ServerError(f"{protocol.path} answered {status}: {answer[:300]!r}")
    answers, expected = protocol.decode(answer, answer_headers), probabilities(network(), inputs)
    if answers.ravel().shape != expected.shape or not np.allclose(answers.ravel(), expected, atol=TOLERANCE):
        raise ServerError(f"{protocol.path} answered {answers[:3]}, the network {expected[:3]}")


def _ask(
    address: Address, method: str, path: str, *, body: bytes | None = None, headers: Sequence[str] = ()
) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(urlsplit(address.url).netloc, timeout=10.0)
    try:
        told = dict(header.split(": ", 1) for header in (*address.headers, *headers))
        connection.request(method, path, body=body, headers=told)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def _question(protocol: Protocol, places: Places, address: Address, *, num_rows: int) -> Question:
    body, headers = protocol.encode(questions.rows(num_rows))
    file = places.body(f"{protocol.name}-{num_rows}")
    file.write_bytes(body)
    return Question(path=protocol.path, body_file=file, headers=(*address.headers, *headers), num_rows=num_rows)


def _keep_load(
    places: Places, contender: Contender, num_workers: int, *, load_name: str, measured: Measured, seconds: int
) -> None:
    named = {"server": contender.name, "workers": num_workers, "load": load_name, "seconds": seconds}
    _keep(places, {**named, **measured.to_json()})


def _keep(places: Places, result: dict[str, Any]) -> None:
    with places.results.open("a") as file:
        file.write(json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), **result}) + "\n")
    shown = {name: round(value, 3) if isinstance(value, float) else value for name, value in result.items()}
    print("  ".join(f"{name}={value}" for name, value in shown.items()), flush=True)


def _arguments() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=2, help="times that every server is measured (default: 2)")
    made.add_argument("--seconds", type=int, default=3, help="length of one load (default: 3)")
    made.add_argument("--only", nargs="+", metavar="NAME", help="first words of names: heliostat ray fastapi ...")
    made.add_argument("--fresh", action="store_true", help="forget earlier results")
    made.add_argument("--base-port", type=int, default=DEFAULT_BASE_PORT, help="first of 1,000 ports (default: 20500)")
    return made


if __name__ == "__main__":
    sys.exit(main())
