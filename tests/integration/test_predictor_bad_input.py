"""What strangers send: every one of these is told with a 4xx, and none costs more memory than a body may have."""

import asyncio
import gzip
import json
import math
import random
import tracemalloc
from dataclasses import dataclass

import orjson
import pyarrow as pa
import pytest

from heliostat.serving.arrow_stream import ARROW
from tests.integration.predictor_fixture import ROW, make_bundle, plaintext, record, serving
from tests.toy import workload

PREDICT, INFER, LABELS = "/v1/predict", "/v2/models/toy/infer", "/v1/labels"
JSON = "application/json"
MEGABYTE = 1_000_000
LIMIT = workload.serving.max_body_bytes
GOOD = orjson.dumps({"rows": [ROW]})
FAR = {**ROW, "read_at": "2100-01-01T00:00:00Z"}


@dataclass
class Sent:
    """One exchange, spoken to the application as a server would: chunk by chunk."""

    status: int
    body: bytes
    num_bytes_taken: int

    @property
    def detail(self):
        return json.loads(self.body)["detail"]


async def speak(app, path, chunks, *, method="POST", **headers):
    headers = {"content_type": JSON, "authorization": f"Bearer {plaintext('caller')}", **headers}
    waiting, sent, taken = iter(chunks), [], 0

    async def receive():
        nonlocal taken
        chunk = next(waiting, None)
        taken += len(chunk or b"")
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(message):
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items() if value]
    await app({"type": "http", "method": method, "path": path, "headers": raw}, receive, send)
    return Sent(status=sent[0]["status"], body=sent[1]["body"], num_bytes_taken=taken)


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    """A function that sends requests to one replica and gives what each got."""
    home = tmp_path_factory.mktemp("bad-input")
    bundles = {1: make_bundle(home, "tests.toy", seed=1)}

    def send_all(*requests):
        async def scenario():
            async with serving(workload, home, record(bundles)) as served:
                return [await speak(served.app, path, chunks, **headers) for path, chunks, headers in requests]

        return asyncio.run(scenario())

    return send_all


def stream(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def column(value):
    return stream(pa.table({"load_percent": [value], "site": ["alpha"]}))


def row_text(value):
    return b'{"rows": [{"load_percent": ' + value + b', "site": "alpha"}]}'


def tensors(value):
    return b'{"inputs": [%s, %s]}' % (
        b'{"name": "load_percent", "datatype": "FP64", "shape": [1], "data": [' + value + b"]}",
        b'{"name": "site", "datatype": "BYTES", "shape": [1], "data": ["alpha"]}',
    )


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        *((PREDICT, row_text(value), JSON, 400) for value in (b"NaN", b"Infinity", b"-Infinity", b"1e999")),
        *((INFER, tensors(value), JSON, 400) for value in (b"NaN", b"Infinity", b"-Infinity", b"1e999")),
        *((PREDICT, column(value), ARROW, 422) for value in (math.nan, math.inf, -math.inf)),
    ],
)
def test_numbers_that_are_none_are_told(exchange, path, body, kind, status):
    (sent,) = exchange((path, [body], {"content_type": kind}))
    assert sent.status == status
    assert "load_percent" in sent.detail or "no JSON" in sent.detail


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (orjson.dumps({"rows": [{**ROW, "read_at": "2100-01-01T00:00:00Z"}]}), JSON),
        (
            stream(pa.table({**{name: [value] for name, value in ROW.items()}, "read_at": ["2100-01-01T00:00:00Z"]})),
            ARROW,
        ),
    ],
)
def test_an_event_far_ahead_is_told_with_its_column_the_limit_and_the_remedy(exchange, body, kind):
    (sent,) = exchange((PREDICT, [body], {"content_type": kind}))
    assert sent.status == 422
    assert all(part in sent.detail for part in ("row 0", "'read_at'", "366 days", "2100-01-01", "max_event_ahead"))


def peak_of(exchange, *requests):
    exchange((PREDICT, [GOOD], {}))
    tracemalloc.start()
    pool = pa.default_memory_pool()
    arrow_before = pool.bytes_allocated()
    try:
        sent = exchange(*requests)
        return sent, tracemalloc.get_traced_memory()[1] + pool.bytes_allocated() - arrow_before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [JSON, ARROW])
@pytest.mark.parametrize("declared", [None, str(100 * MEGABYTE)])
def test_a_body_of_100_megabytes_is_refused_before_it_is_held(exchange, kind, declared):
    chunks = (b" " * MEGABYTE for _ in range(100))
    (sent,), peak = peak_of(exchange, (PREDICT, chunks, {"content_type": kind, "content_length": declared}))
    assert (sent.status, str(LIMIT) in sent.detail) == (413, True)
    assert sent.num_bytes_taken <= (0 if declared else LIMIT + MEGABYTE)
    assert peak < LIMIT + 10 * MEGABYTE


MANY = 1_000_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, b'{"rows": [' + b"{}," * (MANY - 1) + b"{}]}"),
        (LABELS, b'{"labels": [' + b"{}," * (MANY - 1) + b"{}]}"),
        (INFER, b'{"inputs": [{"name": "load_percent", "datatype": "FP64", "shape": [1000000], "data": ['
         + b"1," * (MANY - 1) + b"1]}]}"),
    ],
    ids=["rows", "labels", "tensors"],
)  # fmt: skip
def test_a_million_rows_are_refused(exchange, path, body):
    (sent,), peak = peak_of(exchange, (path, [body], {}))
    assert (sent.status, "10000 rows" in sent.detail) == (413, True)
    # The document itself, parsed: 64 bytes an empty object.
    assert peak < 150 * MEGABYTE


def test_a_million_rows_in_columns_are_refused_before_they_are_decoded(exchange):
    body = stream(pa.table({"load_percent": pa.array([1] * MANY, pa.int8()), "site": pa.nulls(MANY)}))
    (sent,), peak = peak_of(exchange, (PREDICT, [body], {"content_type": ARROW}))
    assert (sent.status, "10000 rows" in sent.detail) == (413, True)
    assert peak < 2 * MEGABYTE


@pytest.mark.parametrize(("path", "kind"), [(PREDICT, JSON), (PREDICT, ARROW), (INFER, JSON), (LABELS, JSON)])
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "identity, gzip", "x" * 10_000])
def test_a_compressed_body_is_refused_unread(exchange, path, kind, encoding):
    bomb = gzip.compress(bytes(200 * MEGABYTE), compresslevel=1) if encoding == "gzip" else b"x"
    headers = {"content_type": kind, "content_encoding": encoding}
    (sent,), peak = peak_of(exchange, (path, [bomb], headers))
    assert (sent.status, sent.num_bytes_taken) == (415, 0)
    assert peak < 2 * MEGABYTE


BROKEN = [
    *(b"", b"{", b'{"rows": [', GOOD[:-1], GOOD + b"}", b"nul", b"'", b"//", b'{"rows": [{"a": 1,}]}'),
    *(GOOD.decode().encode("utf-16"), b"\xff\xfe", b"\0" * 1000, b'{"rows": "\\ud800"}'),
    *(b"[" * 200_000, b'{"a":' * 100_000),
]


@pytest.mark.parametrize("path", [PREDICT, INFER, LABELS])
def test_broken_json_is_malformed(exchange, path):
    for body, sent in zip(BROKEN, exchange(*((path, [body], {}) for body in BROKEN)), strict=True):
        assert sent.status == 400, body[:40]


DEEP = b"[" * 1000 + b"]" * 1000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, row_text(DEEP)),
        (PREDICT, b'{"rows": [{"nobody": ' + DEEP + b"}]}"),
        (PREDICT, GOOD[:-1] + b', "key": ' + DEEP + b"}"),
        (INFER, tensors(DEEP)),
        (INFER, b'{"inputs": [' + DEEP + b"]}"),
        (LABELS, b'{"labels": [{"key": "k", "value": ' + DEEP + b"}]}"),
        (LABELS, b'{"labels": [{"value": 1, "id": ' + DEEP + b"}]}"),
        ("/v1/promote", b'{"version": ' + DEEP + b"}"),
    ],
)
def test_what_is_nested_too_deeply_to_be_shown_is_told_all_the_same(exchange, path, body):
    (sent,) = exchange((path, [body], {"authorization": f"Bearer {plaintext('admin')}"}))
    assert (sent.status, "nested too deeply" in sent.detail) == (400, True), sent.body[:300]


def once_for_all(key):
    """A request of 1,000 rows that says its key once, in each of the ways there are."""
    columns = {"load_percent": "FP64", "site": "BYTES"}
    values = {"load_percent": [1] * 1000, "site": ["a"] * 1000}
    inputs = [{"name": n, "datatype": kind, "shape": [1000], "data": values[n]} for n, kind in columns.items()]
    yield PREDICT, {"rows": [{"load_percent": 1, "site": "a"}] * 1000, "key": key}
    yield INFER, {"inputs": inputs, "parameters": {"key": key}}
    yield INFER, {"inputs": inputs, "parameters": {"reading": key}}


def test_a_key_that_is_logged_with_every_row_has_a_limit(exchange):
    for path, document in once_for_all("k" * 1001):
        (sent,), peak = peak_of(exchange, (path, [orjson.dumps(document)], {}))
        assert (sent.status, "1000 characters; got 1001" in sent.detail) == (422, True), sent.body[:300]
        assert peak < 10 * MEGABYTE
    (at_its_limit, as_label) = exchange(
        (PREDICT, [orjson.dumps({"rows": [ROW], "key": "k" * 1000})], {}),
        (LABELS, [orjson.dumps({"labels": [{"key": "k" * 1001, "value": 1}]})], {}),
    )
    assert (at_its_limit.status, as_label.status) == (200, 422)


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (LABELS, {"labels": [{"x" * MEGABYTE: 1}]}),
        (INFER, {"inputs": [{"name": "x" * MEGABYTE, "datatype": "BYTES", "shape": [1], "data": ["a"]}] * 2}),
        (PREDICT, {"rows": [{"x" * MEGABYTE: 1}]}),
        (PREDICT, {"rows": [ROW], "x" * MEGABYTE: 1}),
        (PREDICT, {"rows": [{**ROW, "load_percent": "x" * MEGABYTE}]}),
    ],
)
def test_a_refusal_does_not_repeat_all_that_was_sent(exchange, path, document):
    (sent,) = exchange((path, [orjson.dumps(document)], {}))
    assert sent.status in (400, 422)
    assert len(sent.body) < 2000


def test_columns_of_different_lengths_are_told_by_name(exchange):
    body = tensors(b"50").replace(b'"shape": [1], "data": [50]', b'"shape": [2], "data": [50, 51]')
    (sent,) = exchange((INFER, [body], {}))
    assert (sent.status, "'load_percent' has 2, 'site' has 1" in sent.detail) == (400, True), sent.detail


@pytest.mark.parametrize("version", [2**63, 2**64 - 1, 10**9])
def test_a_version_that_no_catalog_can_hold_is_told(exchange, version):
    body = orjson.dumps({"version": version})
    (sent,) = exchange(("/v1/promote", [body], {"authorization": f"Bearer {plaintext('admin')}"}))
    assert (sent.status, str(version) in sent.detail) == (400, True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_length": "-1"}, 400),
        ({"content_length": "many"}, 400),
        ({"content_length": "9" * 5000}, 413),
        ({"content_type": "x" * 100_000}, 415),
        ({"content_type": "application/json\xff"}, 415),
        ({"content_type": None}, 415),
        ({"authorization": "Bearer " + "x" * 100_000}, 401),
        ({"authorization": "Bearer hel_caller_\xe9"}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": "Basic \x00"}, 401),
        ({"x_request_id": "x" * 201}, 400),
        ({"x_received_at_ms": "9" * 5000}, 400),
        ({"x_received_at_ms": "-1"}, 400),
        ({"x_received_at_ms": "soon"}, 400),
        ({"x_request_timeout_seconds": "9" * 5000}, 400),
        ({"x_request_timeout_seconds": "nan"}, 400),
        ({"accept": "*/*," * 50_000}, 200),
        ({"x_request_id": "\xe9\x01 ;"}, 200),
        ({"x_forwarded_for": "y" * 100_000}, 200),
    ],
)
def test_absurd_headers_are_told_or_harmless(exchange, headers, status):
    (sent,) = exchange((PREDICT, [GOOD], headers))
    assert sent.status == status, sent.body[:300]
    assert len(sent.body) < 2000


@pytest.mark.parametrize(
    "path",
    ["/" + "x" * 100_000, "//", "/v1/predictions/\x00", "/v1/predictions/" + "f" * 10_000, "/v2/models/" + "m" * 10_000,
     "/v2/models/toy/versions/" + "9" * 10_000, "/v2/models/toy/versions/²", "/v2/models/toy/versions/-1"],
)  # fmt: skip
def test_absurd_paths_are_told(exchange, path):
    admin = {"authorization": f"Bearer {plaintext('admin')}"}
    (sent,) = exchange((path, [], {"method": "GET", **admin}))
    assert sent.status == 404
    assert len(sent.body) < 2000


LEAVES = [None, True, False, 0, 1, -1, 1.5, 2**63, -(2**70), "", "x", "alpha", "NaN", "2024-03-01T00:00:00Z", [], {}]
NAMES = ["rows", "key", "labels", "inputs", "outputs", "parameters", "id", "name", "shape", "datatype", "data", "value"]
NAMES += ["at", "load_percent", "site", "read_at", "checked_by", "binary_data_size", "binary_data_output", "\u0000"]


VALID = {
    PREDICT: {"key": "k", "rows": [{**ROW, "checked_by": "2024-03-02T00:00:00Z"}, ROW]},
    INFER: {**orjson.loads(tensors(b"7")), "id": "a", "parameters": {"key": "k"}, "outputs": [{"name": "id"}]},
    LABELS: {"labels": [{"key": "k", "value": 1, "at": "2024-03-02T00:00:00Z"}, {"key": "l", "value": 0}]},
}


def changed(document, chance):
    """The document with something in it replaced, renamed, added or left out."""
    if chance.random() < 0.2 or not isinstance(document, (dict, list)) or not document:
        return chance.choice([*LEAVES, "FP64", "BYTES", [1], [-1], ["alpha"], {chance.choice(NAMES): 1}, [document]])
    if isinstance(document, list):
        at = chance.randrange(len(document))
        return [*document[:at], changed(document[at], chance), *document[at + 1 :]]
    name = chance.choice(list(document))
    kept = {other: value for other, value in document.items() if other != name}
    renamed = {**kept, chance.choice(NAMES): document[name]}
    return chance.choice([kept, renamed, *[{**document, name: changed(document[name], chance)}] * 4])


@pytest.mark.parametrize("path", list(VALID))
def test_valid_documents_changed_by_chance_are_told_and_never_our_fault(exchange, path):
    chance = random.Random(path)
    documents = [changed(VALID[path], chance) for _ in range(1200)]
    documents += [changed(document, chance) for document in documents[:400]]
    bodies = [json.dumps(document).encode() for document in documents]
    statuses = [sent.status for sent in exchange(*((path, [body], {}) for body in bodies))]
    wrong = [body for body, status in zip(bodies, statuses, strict=True) if status not in (200, 400, 413, 422)]
    assert wrong == []
    assert {200, 400, 422} <= set(statuses)
