import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from heliostat.columns import normalise
from heliostat.errors import BundleError
from heliostat.learn.bundle import ServedModel, served, to_files
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from tests.toy import workload
from tests.toy_rows import labelled_rows, lake_rows

LATER = normalise(lake_rows("2024-04", rows_per_part=200), workload.columns)


def fitted_toy(seed):
    quick = replace(workload, training=replace(workload.training, epochs=2))
    return fit(quick, *split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=300), share=0.2), seed=seed)


@pytest.fixture(scope="module")
def fitted():
    return fitted_toy(1)


@pytest.fixture(scope="module")
def files(fitted):
    return to_files("tests.toy", fitted, profile={"bins": [1, 2]}, lineage={"snapshot": {"raw": 7}})


def test_a_bundle_answers_as_the_fit_that_it_was_made_from(fitted, files):
    assert np.array_equal(ServedModel.load(files).answers(LATER), served(workload, fitted).answers(LATER))


def test_probabilities_come_in_the_order_of_the_rows(files):
    model = ServedModel.load(files)
    backwards = LATER.take(list(range(LATER.num_rows - 1, -1, -1)))
    np.testing.assert_allclose(model.answers(backwards)[::-1], model.answers(LATER), atol=1e-6)


def test_a_row_is_encoded_alike_alone_and_in_a_batch(files):
    model = ServedModel.load(files)
    batch, alone = model.encode(LATER), model.encode(LATER.slice(17, 1))
    assert all(torch.equal(batch[name][17:18], alone[name]) for name in batch)


def test_more_rows_than_one_chunk_get_the_same_answers(files):
    model = ServedModel.load(files)
    many = normalise(lake_rows("2024-04", rows_per_part=9000), workload.columns)
    parts = [model.answers(many.slice(start, 4500)) for start in (0, 4500)]
    np.testing.assert_allclose(model.answers(many), np.concatenate(parts), atol=1e-6)


def test_no_rows_get_no_answers(files):
    assert ServedModel.load(files).answers(LATER.slice(0, 0)).shape == (0,)


def test_the_same_fit_gives_the_same_bytes(fitted, files):
    assert to_files("tests.toy", fitted, profile={"bins": [1, 2]}, lineage={"snapshot": {"raw": 7}}) == files
    again = to_files("tests.toy", fitted_toy(1), profile={"bins": [1, 2]}, lineage={"snapshot": {"raw": 7}})
    assert again == files


def test_lineage_and_profile_come_back(files):
    model = ServedModel.load(files)
    assert model.profile == {"bins": [1, 2]}
    assert model.lineage["snapshot"] == {"raw": 7}
    assert model.lineage["seed"] == 1
    assert model.lineage["first_event_at"].startswith("2024-01-01T")
    assert len(model.lineage["learn_digest"]) == 64


def test_a_bundle_names_its_columns(files):
    assert [column["name"] for column in json.loads(files["contract.json"])] == [c.name for c in workload.columns]
    assert [column.name for column in ServedModel.load(files).columns] == [c.name for c in workload.columns]


def test_levels_never_seen_get_an_answer_and_are_counted(files):
    model = ServedModel.load(files)
    num_new = LATER["site"].to_pylist().count("delta")
    assert num_new > 0
    assert model.unknown_counts(LATER) == {"site": num_new}
    assert np.isfinite(model.answers(LATER)).all()


def test_many_threads_get_the_answers_that_one_gets(files):
    model = ServedModel.load(files)
    rows = [LATER.slice(start, 3) for start in range(0, 60, 3)]
    expected = [model.answers(table).tolist() for table in rows]
    with ThreadPoolExecutor(8) as threads:
        assert [answer.tolist() for answer in threads.map(model.answers, rows * 20)] == expected * 20


def test_warming_up_works_without_a_single_real_row(files):
    threads = torch.get_num_threads()
    ServedModel.load(files).warm()
    assert torch.get_num_threads() == 1
    torch.set_num_threads(threads)


def test_loading_never_unpickles(files, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("something was unpickled")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    assert ServedModel.load(files).answers(LATER).shape == (200,)
    assert {Path(path).suffix for path in files} == {".py", ".json", ".safetensors"}


@pytest.mark.parametrize("lost", ["model.json", "weights.safetensors", "preparation.json", "calibration.json"])
def test_a_lost_file_is_named(files, lost):
    with pytest.raises(BundleError, match=lost):
        ServedModel.load({path: content for path, content in files.items() if path != lost})


def test_an_altered_source_is_refused(files):
    altered = {**files, "source/tests/toy.py": files["source/tests/toy.py"] + b"# later\n"}
    with pytest.raises(BundleError, match="a file was changed"):
        ServedModel.load(altered)


def test_torn_weights_are_refused(files):
    with pytest.raises(BundleError, match=r"weights\.safetensors cannot be read"):
        ServedModel.load({**files, "weights.safetensors": files["weights.safetensors"][:100]})


def test_weights_of_another_network_are_refused(files):
    preparation = json.loads(files["preparation.json"])
    preparation["categories"][0]["levels"].append("zeta")
    with pytest.raises(BundleError, match="do not fit the network of 'toy'"):
        ServedModel.load({**files, "preparation.json": json.dumps(preparation).encode()})


def test_another_kind_of_bundle_is_refused(files):
    described = {**json.loads(files["model.json"]), "kind": "forest"}
    with pytest.raises(BundleError, match=r"is a 'forest'.*loads 'network' and 'trees'"):
        ServedModel.load({**files, "model.json": json.dumps(described).encode()})
