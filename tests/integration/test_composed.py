"""Models that call models: an ensemble, a cascade and a chain; one that is down, one that is slow, one in a circle."""

import asyncio
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from ray.exceptions import RayTaskError

from actors.trial import own_answers
from heliostat.answer_jobs import AnswerJob
from heliostat.records import BundleRef
from heliostat.serving.combining import Reply
from heliostat.serving.problem import UnavailableError
from heliostat.settings import Settings
from heliostat.store.answer_folder import AnswerFolder
from heliostat.store.catalog import Catalog
from heliostat.store.schema import prediction_schema
from heliostat.store.segments import read as read_segment
from heliostat.store.segments import sealed
from heliostat.workload import load
from serve_apps.engine.answering import Worker
from serve_apps.together.peers import Asked, HandlePeers
from tests import toy
from tests.integration.pool_fixture import declared, make_module, member, pool_record, pooling
from tests.integration.predictor_fixture import OTHER_ENCODING, ROW, changed_toy, make_bundle, run

ENSEMBLE = "from heliostat import Ensemble"
CASCADE = "from heliostat import Cascade"
CHAIN = "from heliostat import Input, Number"
SCORE = 'columns=(*toy.workload.columns, Number("score", low=0, high=1, optional=True))'
MODULES = {
    "a": {},
    "b": {},
    "mean": {"imports": ENSEMBLE, "more": ', combine=Ensemble(weights={"a": 1.0, "b": 2.0})'},
    "strict": {"imports": ENSEMBLE, "more": ', combine=Ensemble(weights={"a": 1.0}, when_missing="fail")'},
    "quick": {"imports": ENSEMBLE, "more": ', combine=Ensemble(weights={"a": 1.0}, timeout_s=0.05)'},
    "cascade": {"imports": CASCADE, "more": ', combine=Cascade(then=("b",), until_confident=0.7)'},
    "chain": {"imports": CHAIN, "more": f', {SCORE}, inputs=(Input(column="score", workload="a"),)'},
    "filled": {
        "imports": CHAIN,
        "more": f', {SCORE}, inputs=(Input(column="score", workload="a", when_missing=0.5),)',
    },
    "round": {"imports": ENSEMBLE, "more": ', combine=Ensemble(weights={"turn": 1.0}, when_missing="fail")'},
    "turn": {"imports": ENSEMBLE, "more": ', combine=Ensemble(weights={"round": 1.0}, when_missing="fail")'},
}
ROWS = [{**ROW, "reading": f"r-{number}", "load_percent": 5 * number} for number in range(20)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = tmp_path_factory.mktemp("composed")
    sys.path.insert(0, str(home))
    try:
        refs = {name: declared(home, make_module(home, name, **texts)) for name, texts in MODULES.items()}
        other = changed_toy(home, "toy_composed_other", OTHER_ENCODING)
        one, two = make_bundle(home, "tests.toy", seed=1), make_bundle(home, other, seed=2)
        return {name: member(ref, {1: two if name == "b" else one}) for name, ref in refs.items()}
    finally:
        sys.path.remove(str(home))


def record(made, *names):
    return pool_record({name: made[name] for name in names})


def logged(home, name):
    columns = toy.workload.columns
    if name in ("chain", "filled", "chain_job"):
        columns = (*columns, replace(columns[0], name="score", low=0, high=1, optional=True))
    rows = []
    for segment in sealed(home / "segments" / name, "predictions"):
        rows += read_segment(segment, prediction_schema(columns, with_commit=False)).to_pylist()
    return rows


def slow(served, name, seconds):
    predictor = served.pool.member_by_name[name].predictor
    answer = predictor.predict

    async def later(*args, **kwargs):
        await asyncio.sleep(seconds)
        return await answer(*args, **kwargs)

    predictor.predict = later


def test_an_ensemble_answers_with_the_weighted_mean_and_logs_who_took_part(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, record(made, "a", "b", "mean")) as served:
            a, b, mean = [await served.predict(name, *ROWS) for name in ("a", "b", "mean")]
        expected = [(p + p + 2 * q) / 4 for p, q in zip(a["predictions"], b["predictions"], strict=True)]
        assert mean["predictions"] == pytest.approx(expected)
        assert (mean["degraded"], mean["degraded_reason"], mean["model_version"]) == (False, None, 1)
        rows = logged(tmp_path, "mean")
        assert [row["probability"] for row in rows] == pytest.approx(mean["predictions"])
        took_part = json.loads(rows[0]["answered_with"])
        assert took_part["own"] == pytest.approx(a["predictions"][0])
        assert took_part["others"]["b"]["version"] == 1
        # The others have logged the same rows under the ids that are named here.
        assert took_part["others"]["b"]["id"] in {row["id"] for row in logged(tmp_path, "b")}
        assert len(logged(tmp_path, "b")) == 2 * len(ROWS)

    run(scenario)


def test_a_cascade_asks_the_second_only_about_rows_that_the_first_is_unsure_of(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, record(made, "a", "b", "cascade")) as served:
            a, b, cascade = [await served.predict(name, *ROWS) for name in ("a", "b", "cascade")]
        unsure = [max(p, 1 - p) < 0.7 for p in a["predictions"]]
        assert 0 < sum(unsure) < len(ROWS)
        chosen = zip(unsure, a["predictions"], b["predictions"], strict=True)
        expected = [other if is_unsure else own for is_unsure, own, other in chosen]
        assert cascade["predictions"] == pytest.approx(expected)
        assert len(logged(tmp_path, "b")) == len(ROWS) + sum(unsure)

    run(scenario)


def test_a_chain_gives_its_model_the_probability_of_the_other(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, record(made, "a", "chain")) as served:
            a, chain = await served.predict("a", *ROWS), await served.predict("chain", *ROWS)
        assert chain["degraded"] is False
        rows = logged(tmp_path, "chain")
        assert [row["score"] for row in rows] == pytest.approx(a["predictions"])
        assert json.loads(rows[3]["answered_with"])["others"]["a"]["probability"] == pytest.approx(a["predictions"][3])

    run(scenario)


def test_one_that_is_down_is_left_out_replaced_or_fails_the_request_as_declared(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, record(made, "b", "mean", "strict", "filled")) as served:
            mean = await served.predict("mean", ROW)
            assert mean["degraded"] is True
            assert mean["degraded_reason"] == "a gave no answer (it is not deployed); it was left out"
            strict = await served.ask("strict", ROW)
            assert strict.status_code == 503
            assert "'a', whose answer is needed, gave none: it is not deployed" in strict.json()["detail"]
            filled = await served.predict("filled", ROW)
            assert filled["degraded_reason"] == "a gave no answer (it is not deployed); 0.5 stands in"
        assert logged(tmp_path, "filled")[0]["score"] == 0.5
        assert logged(tmp_path, "strict") == []

    run(scenario)


def test_one_that_is_slow_is_left_out_in_time(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, record(made, "a", "quick")) as served:
            own = await served.predict("a", ROW)
            assert (await served.predict("quick", ROW))["degraded"] is False
            slow(served, "a", 5)
            quick = await served.predict("quick", ROW)
            assert quick["degraded_reason"] == "a gave no answer (nothing came within 0.050 s); it was left out"
            assert quick["predictions"] == own["predictions"]
            assert quick["processing_time_ms"] < 2000

    run(scenario)


def test_those_that_do_not_need_each_other_are_asked_side_by_side(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, record(made, "a", "b", "mean")) as served:
            await served.predict("mean", ROW)
            for name in ("a", "b"):
                slow(served, name, 0.4)
            answer = await served.predict("mean", ROW)
            assert answer["degraded"] is False
            assert 400 <= answer["processing_time_ms"] < 750

    run(scenario)


def test_the_time_that_is_left_travels_with_the_question(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, record(made, "a", "mean")) as served:
            heard = []
            near = served.pool.member_by_name["mean"].predictor._peers
            ask = near.ask

            async def hear(workload, asked: Asked):
                heard.append((workload, asked.left_s, asked.way))
                return await ask(workload, asked)

            near.ask = hear
            async with served.client() as client:
                headers = {"X-Request-Timeout-Seconds": "3"}
                assert (await client.post("/mean/v1/predict", json={"rows": [ROW]}, headers=headers)).status_code == 200
            assert [(name, way) for name, _, way in heard] == [("a", ("mean",)), ("b", ("mean",))]
            assert all(2 < left_s <= 3 for _, left_s, _ in heard)

    run(scenario)


def test_a_circle_that_was_deployed_all_the_same_ends_with_a_clear_sentence(made, tmp_path):
    async def scenario():
        async with pooling(tmp_path, record(made, "round", "turn")) as served:
            refused = await served.ask("round", ROW)
            assert refused.status_code == 503
            assert "round asks turn asks round, which is a circle" in refused.json()["detail"]

    run(scenario)


def test_a_trial_compares_what_the_own_models_said_not_the_whole_answers():
    log = ['{"own": 0.25, "others": {}}', None]
    rows = pa.table({"probability": [0.5, 0.75], "answered_with": pa.array(log, pa.string())})
    assert own_answers(rows)["probability"].to_pylist() == [0.25, 0.75]


class Handle:
    """A handle of Ray's; `reply` raises or says what the other application's replica does."""

    def __init__(self, reply):
        self.answer_peer = self
        self._reply = reply

    async def remote(self, workload, asked):
        return self._reply()


async def asked_of(reply, *keys):
    peers = HandlePeers()
    peers.follow({"a": "application"})
    peers._handle_by_application["application"] = Handle(reply)
    question = Asked(
        values_by_column={},
        keys=list(keys),
        event_at=[],
        due_at=[],
        request_id="r",
        received_at=datetime.now(UTC),
        way=("b",),
        left_s=1.0,
    )
    return await peers.ask("a", question)


def test_what_went_wrong_in_another_application_is_told_without_a_trace():
    def refuse():
        raise RayTaskError("answer_peer", "Traceback: secret", UnavailableError("No version serves yet."))

    assert asyncio.run(asked_of(refuse)).missing == "UnavailableError: No version serves yet."


def test_one_that_does_not_answer_every_row_has_not_answered():
    said = Reply(answers=[0.5], versions=[1], ids=["i"])
    assert asyncio.run(asked_of(lambda: said, "one")).answers == [0.5]
    assert asyncio.run(asked_of(lambda: said, "one", "two")).missing == "it gave 1 answers to 2 rows; deploy it anew"


@pytest.fixture
def importable(tmp_path, monkeypatch):
    """The modules of this file, to be imported by name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return {name: make_module(tmp_path, f"{name}_job", **texts) for name, texts in MODULES.items()}


def long_answer(home, module, rows, others, *, attempts=1):
    """What a worker answers a job with these rows, and the last attempt's outcome."""
    catalog = Catalog(f"sqlite:///{home}/catalog.db")
    catalog.create()
    at = datetime(2024, 3, 1, tzinfo=UTC)
    made = {"run_id": "r", "candidate": "c", "kind": "network", "scores": {}, "lineage": {}, "by": "test", "at": at}
    for name, bundle in others.items():
        catalog.register(name, bundle_uri=bundle["uri"], bundle_hash=bundle["hash"], **made)
        catalog.promote(name, 1, reasons=[], inputs={}, by="test", at=at)
    name = load(module).name
    folder = AnswerFolder.of(str(home / "lake"), name, "j")
    folder.put_request("d", json.dumps({"rows": rows}).encode())
    named = {
        "workload": name,
        "by": "caller-key",
        "digest": "d",
        "folder": folder.uri,
        "media_type": "application/json",
    }
    job = AnswerJob(job_id="j", input_uri=None, callback_url=None, created_at=at, expires_at=at, version=1, **named)
    worker = Worker(module, Settings(home=home), lambda: catalog)
    outcome = [worker.answer(replace(job, attempt=number + 1), BundleRef(**others["a"])) for number in range(attempts)]
    result = [pa.ipc.open_stream(folder.result(number + 1)).read_all() for number in range(attempts)]
    catalog.close()
    return result, outcome


@pytest.mark.parametrize("name", ["mean", "cascade", "chain"])
def test_a_long_answer_is_what_requests_are_answered(made, importable, tmp_path, name):
    others = {each: made[each]["bundles"]["1"] for each in ("a", "b")}

    async def scenario():
        async with pooling(tmp_path, record(made, "a", "b", name)) as served:
            return await served.predict(name, *ROWS)

    online = asyncio.run(scenario())
    results, outcomes = long_answer(tmp_path, importable[name], ROWS, others, attempts=2)
    assert outcomes == [{"num_rows": len(ROWS), "num_rejected": 0}] * 2
    assert results[0]["probability"].to_pylist() == pytest.approx(online["predictions"], abs=1e-6)
    assert results[0].equals(results[1])  # the second attempt asks the versions of the first
    rows = logged(tmp_path, f"{name}_job")
    assert "others" in json.loads(rows[0]["answered_with"])


def test_a_long_answer_refuses_rows_that_lack_an_answer_they_need(made, importable, tmp_path):
    module = importable["strict"]
    bundle = made["b"]["bundles"]["1"]
    text = (tmp_path / f"{module}.py").read_text()
    (tmp_path / f"{module}.py").write_text(text.replace('{"a": 1.0}', '{"nobody": 1.0}'))
    results, outcomes = long_answer(tmp_path, module, ROWS[:3], {"a": bundle})
    assert outcomes == [{"num_rows": 0, "num_rejected": 3}]
    assert results[0].num_rows == 0
