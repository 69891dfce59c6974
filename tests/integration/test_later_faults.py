"""Code of a user that fails only once its version is judged: one sentence, in the journal, and the champion stays."""

from argparse import Namespace
from dataclasses import asdict, replace
from datetime import timedelta

import pyarrow as pa
import pytest

from heliostat.errors import TrainingError, WorkloadError
from heliostat.settings import Settings
from heliostat.store.catalog import Catalog
from jobs import _entry, _written, ingest, promote, retrain
from jobs._fitting import fit_candidates
from jobs._screen import screened
from tests import toy_faulty
from tests.integration.conftest import AS_OF
from tests.ray_train import Attempts

MODULE = "tests.toy_faulty"
ROW = r"on the row with key '2024-0\d-\d+' at 2024-\S+ "
NEXT = r"Mend it there, and train under a new name \(--run\)."


@pytest.fixture(scope="module")
def fitted(first_run, tmp_path_factory):
    home = tmp_path_factory.mktemp("faulty")
    run = replace(first_run.run, run_id="faulty", module=MODULE, bundles_uri=str(home / "bundles"))
    with pytest.MonkeyPatch.context() as patch:
        Attempts(home / "checkpoints", patch)
        return fit_candidates(asdict(run))


@pytest.fixture
def fails(tmp_path, monkeypatch):
    monkeypatch.setenv(toy_faulty.NOTES_DIR, str(tmp_path))
    return (tmp_path / toy_faulty.FILE).write_text


@pytest.fixture
def job(first_run, fitted, tmp_path):
    settings = Settings(home=tmp_path)
    catalog = Catalog(settings.catalog_url)
    catalog.create()
    first_run.register(catalog)
    catalog.promote("toy", 1, reasons=(), inputs={}, by="admin", at=AS_OF)
    for each in fitted:
        catalog.register("toy", run_id="faulty", by="admin", at=AS_OF, **each)
    return _entry.Job(
        settings=settings,
        module=MODULE,
        workload=toy_faulty.workload,
        lake=first_run.lake,
        catalog=catalog,
        options=Namespace(by="admin", as_of=AS_OF, version=5),
    )


@pytest.mark.parametrize(
    ("word", "pattern"),
    [
        ("encode", rf"Version 5 cannot answer: encode failed with ValueError: the scale ends at 90 {ROW}"),
        ("exit", rf"Version 5 cannot answer: encode failed with SystemExit: the scale ends here {ROW}"),
        ("network", r"Version 5 cannot answer: the network failed with RuntimeError: no such site "),
        ("metric", r"metric 'cost' failed with ZeroDivisionError: no machine failed "),
        ("memory", r"Version 5 cannot answer: .*: the memory does not suffice for a single row; take a larger "),
    ],
)
def test_code_that_fails_once_it_is_judged_is_told_with_its_line_and_changes_no_champion(job, fails, word, pattern):
    fails(word)
    with pytest.raises(TrainingError, match=pattern) as caught:
        promote.promote(job)
    if word != "memory":
        assert str(caught.value).endswith("Mend it there, and train under a new name (--run).")
        assert "(tests/toy_faulty.py, line " in str(caught.value)
    [entry] = job.catalog.entries("toy", kind="judging_failed")
    assert entry.payload == {"versions": [5], "error": str(caught.value)}
    assert job.catalog.aliases("toy")["champion"] == 1


def test_a_turn_whose_fit_cannot_be_judged_holds_with_the_sentence(job, fails, monkeypatch):
    job.catalog.start_run("turn", "toy", job="retrain", params={}, by="admin", at=AS_OF)
    monkeypatch.setattr(retrain, "started", lambda *_, **__: None)
    monkeypatch.setattr(retrain, "fit_run", lambda *_: [5, 6])
    fails("network")
    job.catalog.append("run_cost", "toy", {"run": "turn", "cpu_s": 7.0, "num_fits": 2}, by="admin", at=AS_OF)
    options = Namespace(by="admin", as_of=AS_OF, run="turn", onset=None, in_doubt=False)
    result = retrain.retrain(replace(job, options=options))
    assert (result["verdict"], result["version"]) == ("hold", None)
    assert "Version 5 cannot answer: the network failed with RuntimeError: no such site (tests/toy_f" in result["error"]
    assert job.catalog.run("turn").result["error"] == result["error"]
    [entry] = job.catalog.entries("toy", kind="judging_failed")
    assert entry.payload == {"versions": [5, 6], "error": result["error"]}
    assert (result["fits"], result["cpu_s"] > 7.0) == (2, True)  # what was fitted has its price all the same
    assert job.catalog.aliases("toy")["champion"] == 1


@pytest.mark.parametrize("word", ["exit", "network", "metric", "memory"])
def test_code_that_fails_once_its_fit_is_scored_ends_the_run_with_one_sentence(
    first_run, fails, tmp_path, monkeypatch, word
):
    run = replace(first_run.run, run_id="late", module=MODULE, bundles_uri=str(tmp_path / "bundles"))
    Attempts(tmp_path / "checkpoints", monkeypatch)
    scores = _written.scores

    def from_here_on(*given):
        fails(word)
        return scores(*given)

    monkeypatch.setattr(_written, "scores", from_here_on)
    (said,) = fit_candidates(asdict(run))
    assert "(tests/toy_faulty.py, line " in said["error"]
    assert "\n" not in said["error"]


def test_a_champion_that_cannot_answer_screens_no_labels_and_stops_no_training(job, fails, capsys):
    number = job.catalog.versions("toy")[-2].number
    early = {**job.catalog.version("toy", number).lineage, "last_event_at": (AS_OF - timedelta(days=30)).isoformat()}
    bundle = job.catalog.version("toy", number)
    named = {"bundle_uri": bundle.bundle_uri, "bundle_hash": bundle.bundle_hash, "lineage": early, "scores": {}}
    champion = job.catalog.register("toy", run_id="c", candidate="all", kind="network", by="admin", at=AS_OF, **named)
    job.catalog.promote("toy", champion, reasons=(), inputs={}, by="admin", at=AS_OF)
    fails("network")
    assert screened(job, as_of=AS_OF) == []
    assert (
        f"that were ingested are not screened: Version {champion} cannot answer: the network failed with"
        in capsys.readouterr().out
    )


class Closed:
    """A source whose file is gone."""

    def parts(self):
        return ["2024-01"]

    def read(self, part):
        raise FileNotFoundError(f"no file of {part}")


def test_a_source_that_cannot_be_read_is_told_with_its_line(monkeypatch):
    monkeypatch.setattr(ingest, "load", lambda _: replace(toy_faulty.workload, source=Closed()))
    batch = pa.table({"part": ["2024-01"]})
    told = (
        r"the source's part '2024-01' failed with FileNotFoundError: no file of 2024-01 \(test_later_faults.py, line "
    )
    with pytest.raises(WorkloadError, match=told + r"\d+\). Mend it there, and ingest again"):
        ingest._read_part(batch, module=MODULE, since=None, until=AS_OF)
