"""The real ingress: what it answers itself, what it lets through, and that neither it nor a replica swells."""

import asyncio
import gzip
import json
import socket
import threading
import time
from collections.abc import Iterable

import aiohttp
import pytest

from benchmarks.steady.load import Figures, Load
from benchmarks.steady.replicas import pids, resident_bytes
from cluster.haproxy_launcher import SLOW_REQUEST_S
from tests.cluster.conftest import Installation

MODULE, NAME = "tests.two_weeks", "two-weeks"
HOST = b"Host: here\r\n"
LIVE = f"GET /{NAME}/v2/health/live HTTP/1.1\r\n".encode() + HOST
PREDICT = f"POST /{NAME}/v1/predict HTTP/1.1\r\n".encode() + HOST
MEGABYTE = b"a" * 1_000_000


@pytest.fixture(scope="module")
def up(installation: Installation) -> Installation:
    """The installation with a workload that answers; the fault tests before these leave one behind."""
    installation.bring_up_once(MODULE, since="2013-03-01")
    return installation


def said(
    installation: Installation, parts: Iterable[bytes], *, timeout_s: float = 30.0
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body that are answered to those bytes on a connection of their own."""
    with socket.create_connection(("127.0.0.1", installation.settings.ports.http), timeout=timeout_s) as connection:
        threading.Thread(target=_send, args=(connection, parts), daemon=True).start()
        text = b""
        while b"\r\n\r\n" not in text and (received := connection.recv(65_536)):
            text += received
        head, _, body = text.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)) and (received := connection.recv(65_536)):
            body += received
    return int(status.split()[1]), headers, body


def _send(connection: socket.socket, parts: Iterable[bytes]) -> None:
    try:
        for part in parts:
            connection.sendall(part)
    except OSError:
        return  # it has been answered, and the connection is closed before all was sent


def authorized(installation: Installation, *headers: str) -> bytes:
    lines = [f"Authorization: Bearer {installation.key('caller')}", *headers]
    return PREDICT + "".join(f"{line}\r\n" for line in lines).encode()


@pytest.mark.ray
@pytest.mark.parametrize(
    ("request_text", "status", "in_detail"),
    [
        (b"GET /nowhere HTTP/1.1\r\n" + HOST + b"\r\n", 404, "/-/routes"),
        (LIVE + b"".join(b"x-%d: 1\r\n" % number for number in range(120)) + b"\r\n", 431, "100 headers"),
        (LIVE + b"X-Request-Timeout-Seconds: soon\r\n\r\n", 400, "soon"),
        (LIVE + b"X-Request-Id: " + b"a" * 201 + b"\r\n\r\n", 400, "200 characters"),
        (f"TRACE /{NAME}/v1/predict HTTP/1.1\r\n".encode() + HOST + b"\r\n", 405, "POST"),
    ],
)
def test_what_cannot_be_served_is_answered_with_a_problem_document(up, request_text, status, in_detail):
    answered, headers, body = said(up, [request_text])
    assert (answered, headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(body)["status"] == status
    assert in_detail in json.loads(body)["detail"]


def _dripping(head: bytes, drop: bytes) -> Iterable[bytes]:
    yield head
    while True:
        time.sleep(0.5)
        yield drop


@pytest.mark.ray
def test_a_head_or_a_body_that_drips_in_is_ended_and_nobody_else_waits(up):
    complete = authorized(up, "Content-Type: application/json", "Content-Length: 10000") + b"\r\n"
    answers: dict[str, tuple[int, dict[str, str], bytes]] = {}

    def drip(name: str, head: bytes) -> None:
        answers[name] = said(up, _dripping(head, b"a"), timeout_s=SLOW_REQUEST_S + 15)

    threads = [threading.Thread(target=drip, args=each) for each in (("head", LIVE + b"x: "), ("body", complete))]
    for thread in threads:
        thread.start()
    for _ in range(5):
        assert said(up, [LIVE + b"\r\n"])[0] == 200
    for thread in threads:
        thread.join()
    status, headers, body = answers["body"]
    assert (status, headers["content-type"]) == (408, "application/problem+json")
    assert f"{SLOW_REQUEST_S} s" in json.loads(body)["detail"]
    # A head that never ends cannot be parsed, so HAProxy has only its own words for it.
    assert answers["head"][0] == 408


@pytest.mark.ray
def test_a_request_far_too_large_is_refused_by_its_limit_and_no_process_swells(up):
    processes = [*pids(up.settings, f"ray::ServeReplica:{NAME}"), *pids(up.settings, "/")]
    before = resident_bytes(processes)
    hundred = len(MEGABYTE) * 100
    as_json = "Content-Type: application/json"
    declared = authorized(up, as_json, f"Content-Length: {hundred}") + b"\r\n"
    chunked = authorized(up, as_json, "Transfer-Encoding: chunked") + b"\r\n"
    chunk = f"{len(MEGABYTE):x}\r\n".encode() + MEGABYTE + b"\r\n"
    rows = b'{"rows":[' + b",".join([b"{}"] * 1_000_000) + b"]}"
    bomb = gzip.compress(b"a" * 50_000_000)
    squeezed = authorized(up, as_json, "Content-Encoding: gzip", f"Content-Length: {len(bomb)}") + b"\r\n"
    cases = [
        ([declared, *[MEGABYTE] * 100], 413, "10000000 bytes"),
        ([chunked, *[chunk] * 100, b"0\r\n\r\n"], 413, "10000000 bytes"),
        ([authorized(up, as_json, f"Content-Length: {len(rows)}") + b"\r\n", rows], 413, "10000 rows"),
        ([squeezed, bomb], 415, "gzip"),
    ]
    for parts, status, in_detail in cases:
        answered, _, body = said(up, parts)
        assert (answered, in_detail in json.loads(body)["detail"]) == (status, True), body
    assert resident_bytes(processes) - before < 150e6


@pytest.mark.ray
def test_versions_change_under_load_and_no_request_is_lost(up):
    row = {
        "carrier": "UA", "origin": "EWR", "destination": "ORD", "weekday": "Mon", "departure_minute": 1050,
        "scheduled_minutes": 150, "distance_miles": 719, "departures_in_hour": 30, "departures_on_day": 330,
    }  # fmt: skip
    load = Load(
        url=f"{up.settings.http_url}/{NAME}/v1/predict",
        key=up.key("caller"),
        make_rows=lambda number: [{**row, "flight": f"load-{number}"}],
        requests_per_s=40.0,
        fresh=True,
    )
    champion = up.in_catalog(f"catalog.aliases({NAME!r})")["champion"]
    numbers = up.in_catalog(f"[version.number for version in catalog.versions({NAME!r})]")
    other = next(number for number in numbers if number != champion)
    processes = pids(up.settings, f"ray::ServeReplica:{NAME}")

    async def scenario() -> None:
        running = asyncio.create_task(load.run())
        headers = {"Authorization": f"Bearer {up.key('operator')}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            for verb, document in (("promote", {"version": other}), ("rollback", {})):
                await asyncio.sleep(1)
                url = f"{up.settings.http_url}/{NAME}/v1/{verb}"
                async with session.post(url, json=document) as answer:
                    assert answer.status == 200, await answer.text()
        load.stop()
        await running

    asyncio.run(scenario())
    seen = Figures.of(load.sent)
    assert seen.failures == {}
    assert seen.num_sent > 60
    assert sorted(pids(up.settings, f"ray::ServeReplica:{NAME}")) == sorted(processes)
