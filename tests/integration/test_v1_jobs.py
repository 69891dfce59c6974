"""Long answers over HTTP in one process: what is stored, who sees it, and that the worker answers as a replica does."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from heliostat import LongAnswers, answer_jobs
from heliostat.bulk.ids import run_tag
from heliostat.records import KeyRecord, key_hash
from heliostat.serving.arrow_stream import ARROW
from heliostat.settings import Settings
from heliostat.store.answer_folder import AnswerFolder
from heliostat.store.schema import prediction_schema
from heliostat.store.segments import read, sealed
from serve_apps.engine.answering import Worker
from tests.integration import toy_with_jobs
from tests.integration.predictor_fixture import ROW, LocalDesk, make_bundle, plaintext, record, run, serving

workload = toy_with_jobs.workload
KEEP = workload.long_answers.keep


@pytest.fixture
def home(tmp_path):
    return tmp_path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles"), "tests.toy", seed=1)


@pytest.fixture
def worker(home):
    return Worker("tests.integration.toy_with_jobs", Settings(home=home))


def answered(home, worker, bundle, job_id):
    """The job after an attempt, as the actor would have it."""
    desk = LocalDesk(home, "toy")
    job = desk.catalog.answer_job("toy", job_id)
    at = datetime.now(UTC)
    claimed = answer_jobs.claimed(job, version=1, at=at)
    outcome = worker.answer(claimed, bundle)
    ended = (
        answer_jobs.failed(claimed, outcome["error"], at=at, keep=KEEP)
        if "error" in outcome
        else answer_jobs.done(claimed, **outcome, at=at, keep=KEEP)
    )
    assert desk.catalog.change_answer_job(claimed, by="test", at=at)
    assert desk.catalog.change_answer_job(ended, by="test", at=at)
    return ended


def rows(count, **fields):
    return [{**ROW, "reading": f"r-{number}", "load_percent": number % 90, **fields} for number in range(count)]


def test_rows_are_answered_as_a_replica_answers_them(home, bundle, worker):
    asked = rows(50)
    asked[7] = {**asked[7], "load_percent": "much"}

    async def scenario():
        async with serving(workload, home, record({1: bundle})) as served:
            async with served.client("caller") as client:
                submitted = await client.post("/v1/jobs", json={"rows": asked}, headers={"Idempotency-Key": "a"})
                assert submitted.status_code == 202, submitted.text
                job_id = submitted.json()["id"]
                assert submitted.headers["location"] == f"/toy/v1/jobs/{job_id}"
                early = await client.get(f"/v1/jobs/{job_id}/result")
                assert (early.status_code, "is queued" in early.json()["detail"]) == (409, True)
                answered(home, worker, bundle, job_id)
                state = (await client.get(f"/v1/jobs/{job_id}")).json()
                result = (await client.get(f"/v1/jobs/{job_id}/result")).json()
                arrow = await client.get(f"/v1/jobs/{job_id}/result", headers={"Accept": ARROW})
            online = await served.predict(*(row for number, row in enumerate(asked) if number != 7))
        assert (state["status"], state["num_rows"], state["num_rejected"]) == ("done", 49, 1)
        assert result["rows"] == [number for number in range(50) if number != 7]
        assert result["predictions"] == pytest.approx(online["predictions"], abs=1e-6)
        assert result["rejected"][0]["row"] == 7
        assert "load_percent" in result["rejected"][0]["reason"]
        table = pa.ipc.open_stream(arrow.content).read_all()
        assert table["id"].to_pylist() == result["ids"]
        return result

    result = asyncio.run(scenario())
    logged = _logged(home)
    mine = logged.filter(pc.is_in(logged["id"], pa.array(result["ids"])))
    assert mine["probability"].to_pylist() == result["predictions"]
    assert mine["key"].to_pylist() == [f"r-{number}" for number in range(50) if number != 7]


def _logged(home):
    schema = prediction_schema(workload.columns, with_commit=False)
    directory = Settings(home=home).segments_dir / "toy"
    return pa.concat_tables([read(path, schema) for path in sealed(directory, "predictions")])


def test_an_attempt_repeated_gives_the_same_ids(home, bundle, worker):
    async def submit():
        async with serving(workload, home, record({1: bundle})) as served, served.client("caller") as client:
            return (await client.post("/v1/jobs", json={"rows": rows(20)})).json()["id"]

    job = LocalDesk(home, "toy").catalog.answer_job("toy", asyncio.run(submit()))
    found = []
    for attempt in (1, 2):
        worker.answer(replace(job, attempt=attempt, version=1, status="running"), bundle)
        found.append(pa.ipc.open_stream(AnswerFolder(job.folder).result(attempt)).read_all())
    assert found[0].equals(found[1])


def test_the_same_key_is_the_same_job_and_another_body_is_refused(home, bundle):
    async def scenario():
        async with serving(workload, home, record({1: bundle})) as served, served.client("caller") as client:
            for header in ("Idempotency-Key", "X-Request-Id"):
                ids = set()
                for _ in range(2):
                    again = await client.post("/v1/jobs", json={"rows": rows(2)}, headers={header: header})
                    assert again.status_code == 202
                    ids.add(again.json()["id"])
                assert len(ids) == 1
                other = await client.post("/v1/jobs", json={"rows": rows(3)}, headers={header: header})
                assert other.status_code == 409
                job = LocalDesk(home, "toy").catalog.answer_job("toy", ids.pop())
                assert AnswerFolder(job.folder).request(job.digest) == again.request.content

    run(scenario)


def test_of_two_bodies_sent_at_once_under_one_key_the_accepted_one_is_answered(home, bundle, monkeypatch):
    class BothLook(LocalDesk):
        """Lets nobody go on before both have seen that there is no such job."""

        def __init__(self, *given):
            super().__init__(*given)
            self.looking = asyncio.Barrier(2)

        async def job(self, job_id):
            try:
                return await super().job(job_id)
            finally:
                await self.looking.wait()

    monkeypatch.setattr("tests.integration.predictor_fixture.LocalDesk", BothLook)

    async def scenario():
        async with serving(workload, home, record({1: bundle})) as served, served.client("caller") as client:
            sent = [client.post("/v1/jobs", json={"rows": rows(n)}, headers={"Idempotency-Key": "k"}) for n in (2, 3)]
            answers = await asyncio.gather(*sent)
            (accepted,) = [answer for answer in answers if answer.status_code == 202]
            (refused,) = [answer for answer in answers if answer.status_code != 202]
            assert refused.status_code == 409
        job = LocalDesk(home, "toy").catalog.answer_job("toy", accepted.json()["id"])
        assert AnswerFolder(job.folder).request(job.digest) == accepted.request.content

    run(scenario)


def test_rows_of_two_jobs_never_share_an_id_whatever_their_hashes(home, bundle, worker):
    """In a scored table an id differs within its run only; these lie in one table, where equal ids are copies."""
    numbers = iter(range(10**7))
    number_by_tag = {}
    while True:
        number = next(numbers)
        first = number_by_tag.setdefault(run_tag(f"caller-key/{number}"), number)
        if first != number:
            break

    async def submit():
        async with serving(workload, home, record({1: bundle})) as served, served.client("caller") as client:
            return (await client.post("/v1/jobs", json={"rows": rows(3)})).json()["id"]

    job = LocalDesk(home, "toy").catalog.answer_job("toy", asyncio.run(submit()))
    ids = set()
    for attempt, same_tag in enumerate((first, number)):
        worker.answer(replace(job, job_id=str(same_tag), attempt=attempt, version=1, status="running"), bundle)
        ids |= set(pa.ipc.open_stream(AnswerFolder(job.folder).result(attempt)).read_all()["id"].to_pylist())
    assert len(ids) == 6
    assert _logged(home)["latency_ms"].null_count == 6, "how long a job waited is no latency of a request"


def test_callers_see_their_own_jobs_and_operators_all(home, bundle):
    other = KeyRecord(key_id="else", hash=key_hash(plaintext("else")), role="caller", name="else", workload=None)

    async def scenario():
        first = record({1: bundle})
        first["keys"] = [*first["keys"], other.to_json()]
        async with serving(workload, home, first) as served:
            async with served.client("caller") as client:
                job_id = (await client.post("/v1/jobs", json={"rows": rows(1)})).json()["id"]
                assert [job["id"] for job in (await client.get("/v1/jobs")).json()["jobs"]] == [job_id]
            async with served.client("else") as client:
                assert (await client.get("/v1/jobs")).json()["jobs"] == []
                for method, path in (("GET", ""), ("GET", "/result"), ("DELETE", "")):
                    assert (await client.request(method, f"/v1/jobs/{job_id}{path}")).status_code == 404
            async with served.client("operator") as client:
                assert [job["id"] for job in (await client.get("/v1/jobs")).json()["jobs"]] == [job_id]
                cancelled = await client.delete(f"/v1/jobs/{job_id}")
                assert cancelled.json()["status"] == "cancelled"
                again = await client.delete(f"/v1/jobs/{job_id}")
                assert (again.status_code, again.json()["status"]) == (200, "cancelled")
            async with served.client("viewer") as client:
                assert (await client.get("/v1/jobs")).status_code == 403

    run(scenario)


def test_a_table_below_an_allowed_folder_is_answered_and_no_other(home, bundle, worker):
    folder = home / "asked"
    folder.mkdir()
    table = pa.table({"reading": ["a", "b"], "load_percent": [10, 20], "site": ["alpha", "beta"], "note": ["x", "y"]})
    pq.write_table(table, folder / "in.parquet")
    allowed = replace(workload, long_answers=LongAnswers(input_prefixes=(str(folder),)))

    async def scenario():
        async with serving(allowed, home, record({1: bundle})) as served, served.client("caller") as client:
            submitted = await client.post("/v1/jobs", json={"input": str(folder / "in.parquet")})
            assert submitted.status_code == 202, submitted.text
            ended = answered(home, worker, bundle, submitted.json()["id"])
            assert (ended.status, ended.num_rows) == ("done", 2)
            for uri in ("/etc/passwd", f"{folder}/../catalog.sqlite", "s3://else/x"):
                refused = await client.post("/v1/jobs", json={"input": uri})
                assert refused.status_code == 422
                assert "The input must lie below" in refused.json()["detail"]

    run(scenario)


def test_what_cannot_be_answered_fails_with_the_sentence(home, bundle, worker):
    async def scenario():
        async with serving(workload, home, record({1: bundle})) as served, served.client("caller") as client:
            table = pa.table({"load_percent": [1.0]})
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            stream = sink.getvalue().to_pybytes()
            cases = {
                "no complete Arrow stream": (b"nothing", ARROW),
                "A job may have 1000 rows": (_long_json(1500), "application/json"),
                "nested too deeply": (
                    b'{"rows": [{"load_percent": 1, "temperature_c": 1, "site": ' + b"[" * 1000 + b"]" * 1000 + b"}]}",
                    "application/json",
                ),
                "'site' is missing": (stream, ARROW),
            }
            for words, (body, media_type) in cases.items():
                headers = {"Content-Type": media_type}
                job_id = (await client.post("/v1/jobs", content=body, headers=headers)).json()["id"]
                ended = answered(home, worker, bundle, job_id)
                if words == "'site' is missing":
                    rejected = AnswerFolder(ended.folder).rejected(ended.attempt)
                    assert (ended.status, ended.num_rows, words in rejected[0]["reason"]) == ("done", 0, True)
                    continue
                assert (ended.status, words in ended.error) == ("failed", True), ended.error
                state = (await client.get(f"/v1/jobs/{job_id}")).json()
                assert words in state["error"]
                result = await client.get(f"/v1/jobs/{job_id}/result")
                assert (result.status_code, words in result.json()["detail"]) == (409, True)

    run(scenario)


def _long_json(count):
    import orjson

    return orjson.dumps({"rows": rows(count)})


@pytest.mark.parametrize(
    ("content", "headers", "status", "words"),
    [
        (b"", {}, 400, "empty body"),
        (b"{", {}, 400, "no JSON"),
        (b'{"rows": []}', {}, 400, "at least one"),
        (b'{"rows": [1], "input": "x"}', {}, 400, "one of the two"),
        (b'{"input": 7}', {}, 400, "path or URI"),
        (b'{"rows": [{}]}', {"Idempotency-Key": "k" * 201}, 400, "200 characters"),
        (b'{"rows": [{}]}', {"X-Callback-Url": "https://evil.example/"}, 422, "X-Callback-Url must lie below"),
        (b'{"rows": [{}]}', {"X-Callback-Url": "http://127.0.0.1:31990/hooks/a"}, 422, "needs a secret"),
        (b"x" * 200_001, {}, 413, "200000 bytes"),
        (b"x", {"Content-Type": "text/csv"}, 415, "text/csv"),
    ],
)
def test_bad_submissions_are_refused_and_leave_nothing(home, bundle, content, headers, status, words):
    async def scenario():
        async with serving(workload, home, record({1: bundle})) as served, served.client("caller") as client:
            given = {"Content-Type": "application/json", **headers}
            response = await client.post("/v1/jobs", content=content, headers=given)
            assert (response.status_code, words in response.json()["detail"]) == (status, True), response.text
            assert (await client.get("/v1/jobs")).json()["jobs"] == []

    run(scenario)


def test_a_full_queue_is_said_with_retry_after(home, bundle):
    async def scenario():
        async with serving(workload, home, record({1: bundle})) as served, served.client("caller") as client:
            for _ in range(workload.long_answers.max_waiting):
                assert (await client.post("/v1/jobs", json={"rows": rows(1)})).status_code == 202
            full = await client.post("/v1/jobs", json={"rows": rows(1)})
            assert (full.status_code, full.headers["retry-after"]) == (503, "30")
            headers = {"Idempotency-Key": "kept"}
            job_id = (await client.get("/v1/jobs")).json()["jobs"][0]["id"]
            await client.delete(f"/v1/jobs/{job_id}")
            for _ in range(2):  # the second finds the queue full, and its own job in it
                assert (await client.post("/v1/jobs", json={"rows": rows(1)}, headers=headers)).status_code == 202

    run(scenario)


def test_a_secret_is_shown_once_and_lets_a_callback_be_declared(home, bundle):
    async def scenario():
        async with serving(workload, home, record({1: bundle})) as served, served.client("caller") as client:
            secrets = {(await client.post("/v1/webhook-secret")).json()["secret"] for _ in range(2)}
            assert len(secrets) == 2
            headers = {"X-Callback-Url": "http://127.0.0.1:31990/hooks/a"}
            submitted = await client.post("/v1/jobs", json={"rows": rows(1)}, headers=headers)
            assert submitted.status_code == 202
            assert submitted.json()["callback"]["url"] == headers["X-Callback-Url"]
            assert not any(secret in submitted.text for secret in secrets)

    run(scenario)
    assert timedelta(0) < KEEP
