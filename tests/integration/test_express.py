"""The short way from a socket to the answer, byte by byte, on a real predictor."""

import asyncio
import gc
import json
from contextlib import asynccontextmanager

import pytest

from heliostat.declared.serving import Serving
from heliostat.serving.authentication import Keyring
from serve_apps.access import Access
from serve_apps.http import HttpApp
from serve_apps.protocols.express import Express
from tests import toy
from tests.integration.http_server import express_server, no_books
from tests.integration.predictor_fixture import ROW, make_bundle, plaintext, record, run, serving

BODY = json.dumps({"rows": [ROW]}).encode()


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    return {1: make_bundle(tmp_path_factory.mktemp("express"), "tests.toy", seed=1)}


class Books:
    """Counts the requests that went the short way; may hold them up."""

    def __init__(self):
        self.num_taken = self.num_ended = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, answering):
        self.num_taken += 1
        try:
            answer = await no_books(answering)
            await self.go_on.wait()
            return answer
        finally:
            self.num_ended += 1


@asynccontextmanager
async def server(bundles, home):
    """The port, the books, and what ends the server."""
    books = Books()
    async with serving(toy.workload, home, record(bundles)) as served:
        running = express_server(served.app, toy.workload, kept=books)
        task = asyncio.ensure_future(running.serve())
        while not running.started:
            await asyncio.sleep(0.01)
        try:
            yield running.servers[0].sockets[0].getsockname()[1], books, running
        finally:
            running.should_exit = True
            await asyncio.wait_for(task, timeout=20)


def request(path="/v1/predict", *, body=BODY, headers=(), version="1.1", method="POST"):
    lines = [f"{method} {path} HTTP/{version}", "Host: toy", f"Authorization: Bearer {plaintext('caller')}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def answer(reader):
    """Status, headers and body of the next answer."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), timeout=20)).decode()
    status, *lines = head.strip().split("\r\n")
    header_by_name = dict(line.lower().split(": ", 1) for line in lines)
    body = await asyncio.wait_for(reader.readexactly(int(header_by_name.get("content-length", 0))), timeout=20)
    return int(status.split()[1]), header_by_name, body


def test_a_request_that_comes_whole_and_one_in_pieces_get_the_same_answer(bundles, tmp_path):
    async def scenario():
        async with server(bundles, tmp_path) as (port, books, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            asked = request(headers=["X-Request-Id: same"])
            writer.write(asked)
            whole = await answer(reader)
            assert (whole[0], books.num_taken) == (200, 1)
            for start in range(0, len(asked), 40):
                writer.write(asked[start : start + 40])
                await asyncio.sleep(0.002)
            pieces = await answer(reader)
            assert books.num_taken == 1
            documents = [json.loads(found[2]) for found in (whole, pieces)]
            for document in documents:
                del document["processing_time_ms"]
            assert documents[0] == documents[1]
            assert whole[1]["x-request-id"] == "same"
            assert whole[1].keys() - {"x-request-id"} == pieces[1].keys()
            writer.close()

    run(scenario)


def test_requests_that_come_together_are_answered_in_their_order(bundles, tmp_path):
    async def scenario():
        async with server(bundles, tmp_path) as (port, books, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            status = request("/v2/health/ready", body=b"", method="GET")
            writer.write(
                b"".join([request(headers=["X-Request-Id: r1"]), status, request(headers=["X-Request-Id: r3"])])
            )
            found = [await answer(reader) for _ in range(3)]
            assert [each[0] for each in found] == [200, 200, 200]
            assert [json.loads(each[2]).get("id") for each in found] == ["r1", None, "r3"]
            assert books.num_taken == 1
            writer.write(request(headers=["X-Request-Id: r4"]))
            assert json.loads((await answer(reader))[2])["id"] == "r4"
            assert books.num_taken == 2
            writer.close()

    run(scenario)


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_body_in_chunks_is_read_to_its_end(bundles, tmp_path, is_whole):
    async def scenario():
        async with server(bundles, tmp_path) as (port, books, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = request(body=b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
            chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:30], BODY[30:])]
            for part in [b"".join([head, *chunks, b"0\r\n\r\n"])] if is_whole else [head, *chunks, b"0\r\n\r\n"]:
                writer.write(part)
                await asyncio.sleep(0.02)
            assert (await answer(reader))[0] == 200
            assert books.num_taken == is_whole
            writer.close()

    run(scenario)


def test_a_large_body_does_not_keep_the_connection_from_going_on(bundles, tmp_path):
    async def scenario():
        async with server(bundles, tmp_path) as (port, _, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            large = json.dumps({"rows": [ROW] * 1500}).encode()
            assert len(large) > 150_000  # so much that uvicorn stops reading until the answer is there
            for body, num_rows in [(large, 1500), (BODY, 1), (large, 1500)]:
                writer.write(request(body=body))
                status, _, answered = await answer(reader)
                assert (status, len(json.loads(answered)["predictions"])) == (200, num_rows)
            writer.close()

    run(scenario)


def test_who_waits_for_100_continue_is_told_to(bundles, tmp_path):
    async def scenario():
        async with server(bundles, tmp_path) as (port, _, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head, _, body = request(headers=["Expect: 100-continue"]).partition(b"\r\n\r\n")
            writer.write(head + b"\r\n\r\n")
            assert (await answer(reader))[0] == 100
            writer.write(body)
            assert (await answer(reader))[0] == 200
            writer.close()

    run(scenario)


@pytest.mark.parametrize(("version", "headers"), [("1.0", []), ("1.1", ["Connection: close"])])
def test_a_connection_that_shall_end_does(bundles, tmp_path, version, headers):
    async def scenario():
        async with server(bundles, tmp_path) as (port, _, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request(version=version, headers=headers))
            status, header_by_name, _ = await answer(reader)
            assert (status, header_by_name["connection"]) == (200, "close")
            assert await asyncio.wait_for(reader.read(), timeout=20) == b""
            writer.close()

    run(scenario)


def test_a_caller_who_leaves_ends_the_request_and_nothing_else(bundles, tmp_path):
    async def scenario():
        async with server(bundles, tmp_path) as (port, books, _):
            stays, leaves = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            books.go_on.clear()
            for _, writer in (stays, leaves):
                writer.write(request())
            while books.num_taken < 2:
                await asyncio.sleep(0.01)
            leaves[1].transport.abort()
            while not books.num_ended:
                await asyncio.sleep(0.01)
            books.go_on.set()
            assert (await answer(stays[0]))[0] == 200
            assert books.num_ended == 2
            stays[1].close()

    run(scenario)


def test_a_server_that_ends_answers_what_it_has_taken(bundles, tmp_path):
    async def scenario():
        async with server(bundles, tmp_path) as (port, books, running):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            books.go_on.clear()
            writer.write(request())
            while not books.num_taken:
                await asyncio.sleep(0.01)
            running.should_exit = True
            await asyncio.sleep(0.3)
            books.go_on.set()
            status, header_by_name, _ = await answer(reader)
            assert (status, header_by_name["connection"]) == (200, "close")
            writer.close()

    run(scenario)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        (request(body=b"{"), 400),
        (request().replace(b"Bearer hel_", b"Bearer no_"), 401),
        (request().replace(b"application/json", b"text/plain"), 415),
        (request(headers=["X-Request-Timeout-Seconds: soon"]), 400),
        (request(headers=[f"X-Request-Id: {'r' * 201}"]), 400),
    ],
)
def test_what_is_refused_is_told_and_the_connection_goes_on(bundles, tmp_path, changed, status):
    async def scenario():
        async with server(bundles, tmp_path) as (port, _, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(changed)
            found = await answer(reader)
            assert (found[0], found[1]["content-type"]) == (status, "application/problem+json")
            writer.write(request())
            assert (await answer(reader))[0] == 200
            writer.close()

    run(scenario)


def test_an_empty_request_id_is_none_and_the_answer_names_one_id(bundles, tmp_path):
    async def scenario():
        async with server(bundles, tmp_path) as (port, _, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request(headers=["X-Request-Id:"]))
            status, header_by_name, body = await answer(reader)
            assert status == 200
            assert json.loads(body)["id"] == header_by_name["x-request-id"]
            writer.close()

    run(scenario)


def test_time_in_line_for_a_place_counts_as_time_that_the_caller_waits(bundles, tmp_path):
    async def late(answering):
        await asyncio.sleep(0.3)
        return await answering

    async def scenario():
        async with serving(toy.workload, tmp_path, record(bundles)) as served:
            express = Express(served.app, local_by_path={"/v1/predict": "/v1/predict"}, kept=late)
            headers = [(b"authorization", f"Bearer {plaintext('caller')}".encode())]
            headers += [(b"content-type", b"application/json"), (b"x-request-timeout-seconds", b"0.2")]
            lines = await express.answer({"path": "/v1/predict", "headers": headers}, BODY)
            assert lines[0].split()[1] == b"503"
            assert b"0.2 s" in lines[-1]

    run(scenario)


def test_a_request_that_is_called_off_before_its_turn_leaves_no_warning(recwarn):
    async def never(_):
        await asyncio.Event().wait()

    async def scenario():
        limits = Serving()
        access = Access(lambda: Keyring("toy"), limits)
        app = HttpApp([], access=access, limits=limits, on_shutdown=print, on_failure=print)
        express = Express(app, local_by_path={"/v1/predict": "/v1/predict"}, kept=never)
        task = asyncio.ensure_future(express.answer({"path": "/v1/predict", "headers": []}, BODY))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


def test_bytes_that_are_no_http_end_the_connection(bundles, tmp_path):
    async def scenario():
        async with server(bundles, tmp_path) as (port, books, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request().replace(b"Content-Length: ", b"Content-Length: x"))
            assert (await answer(reader))[0] == 400
            assert await asyncio.wait_for(reader.read(), timeout=20) == b""
            assert books.num_taken == 0
            writer.close()

    run(scenario)
