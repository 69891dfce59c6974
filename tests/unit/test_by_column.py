"""Columns may be called as their owner likes; what a network learned of them before it was renamed is still found."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from heliostat import Number, Text, Training, Vector
from heliostat.learn.bundle import ServedModel, served, to_files
from heliostat.learn.by_column import ByColumn
from heliostat.learn.fit import fit
from heliostat.learn.forecast import STEPS, forecast_network
from heliostat.learn.rows import split_by_time
from heliostat.learn.start import Start
from heliostat.learn.tabular import network
from heliostat.vectors import from_matrix
from tests import toy_noted
from tests.toy import workload
from tests.toy_kinds import wear
from tests.toy_rows import labelled_rows

ROWS = labelled_rows("2024-01", rows_per_part=300)
VECTORS = [Vector(name, 3) for name in ("values", "a.b", "numbers", "categories", "column numbers", "of_values", "")]
TEXTS = [Text(name, num_buckets=64) for name in ("type", "items", "c.d", "a%2Eb", "training")]


def odd_parts():
    random = np.random.default_rng(5)
    rows = ROWS
    for column in VECTORS:
        values = random.normal(size=(rows.num_rows, 3)).astype(np.float32)
        rows = rows.append_column(column.name, from_matrix(values))
    for column in TEXTS:
        rows = rows.append_column(column.name, [random.choice(["one word", "another word"], rows.num_rows).tolist()])
    return split_by_time(rows, share=0.2)


def odd_workload(columns):
    return replace(workload, columns=columns, **network(columns), training=Training(epochs=2, batch_size=64))


def renamed_as_before(weights, columns):
    """The weights as they were called when each part had the column's own name."""
    found = {}
    for name, tensor in weights.items():
        found[re.sub(rf"\.of_({'|'.join(columns)})\.", r".\1.", name)] = tensor
    return found


def test_vectors_and_texts_of_any_name_are_learned_from_and_each_counts():
    train, later = odd_parts()
    own = odd_workload([*workload.columns, *VECTORS, *TEXTS])
    fitted = fit(own, train, later, seed=1)
    model = served(own, fitted)
    answers = model.answers(later)
    for column in (*VECTORS, *TEXTS):
        other = later[column.name].take(list(reversed(range(later.num_rows))))
        changed = later.set_column(later.column_names.index(column.name), column.name, other)
        assert not np.allclose(model.answers(changed), answers), column.name


def test_a_window_may_be_called_as_all_numbers_are():
    random = np.random.default_rng(5)
    windows = random.normal(size=(ROWS.num_rows, 8)).astype(np.float32).cumsum(1)
    steps = random.integers(1, 4, ROWS.num_rows).astype(float)
    table = ROWS.select(["key", "event_at"]).append_column("label", [np.abs(windows[:, -1]).astype(float)])
    table = table.append_column(STEPS, [steps])
    scores = {}
    for name in ("window", "numbers"):
        window, others = Vector(name, 8), [Number(STEPS, 1, 3)]
        options = forecast_network(window, others, wear.label, horizon=3, recent=4)
        own = replace(wear, columns=[window, *others], **options, training=Training(epochs=2))
        parts = split_by_time(table.append_column(name, from_matrix(windows)), share=0.2)
        scores[name] = fit(own, *parts, seed=1).history
    assert scores["window"] == scores["numbers"]


def test_names_that_torch_takes_do_not_meet():
    found = ByColumn({name: torch.nn.Linear(1, 1) for name in ("a.b", "a%2Eb", "of_a", "a", "")})
    assert [name for name, _ in found.by_name()] == ["a.b", "a%2Eb", "of_a", "a", ""]
    assert len(found) == 5


@pytest.mark.parametrize("columns", [["of_a", "a"], ["a", "of_a", "of_of_a"], ["a"], []])
def test_weights_from_before_are_found_whatever_columns_are_called(columns):
    old = torch.nn.ModuleDict({name: torch.nn.Linear(1, 1) for name in columns})
    new = torch.nn.ModuleDict({"texts": ByColumn({name: torch.nn.Linear(1, 1) for name in columns})})
    new.load_state_dict({f"texts.{name}": tensor for name, tensor in old.state_dict().items()})
    for name, module in new["texts"].by_name():
        assert torch.equal(module.weight, old[name].weight)
    again = torch.nn.ModuleDict({"texts": ByColumn({name: torch.nn.Linear(1, 1) for name in columns})})
    again.load_state_dict(new.state_dict())
    assert all(torch.equal(mine, new.state_dict()[name]) for name, mine in again.state_dict().items())


def test_weights_of_another_column_are_refused():
    new = ByColumn({"a": torch.nn.Linear(1, 1)})
    with pytest.raises(RuntimeError, match="Missing key"):
        new.load_state_dict(torch.nn.ModuleDict({"b": torch.nn.Linear(1, 1)}).state_dict())


def noted_parts():
    train, later = odd_parts()
    names = {"values": "spectrum", "type": "note"}
    return [rows.rename_columns([names.get(name, name) for name in rows.column_names]) for rows in (train, later)]


def test_a_bundle_from_before_answers_as_it_did_and_is_gone_on_from():
    train, later = noted_parts()
    fitted = fit(toy_noted.workload, train, later, seed=1)
    files = to_files("tests.toy_noted", fitted, profile={}, lineage={})
    weights = load(files["weights.safetensors"])
    before = renamed_as_before(weights, ["spectrum", "note"])
    assert {"norms.spectrum.weight", "texts.note.bag.weight"} <= set(before)
    old = {**files, "weights.safetensors": save(before)}
    assert ServedModel.load(old).answers(later).tolist() == ServedModel.load(files).answers(later).tolist()
    digest = json.loads(files["model.json"])["source_digest"]
    again, expected = (
        fit(toy_noted.workload, train, later, seed=1, start=Start.of(each, source_digest=digest)).history
        for each in (old, files)
    )
    assert again == expected


def test_a_checkpoint_from_before_is_gone_on_from():
    train, later = noted_parts()
    states = []
    fitted = fit(toy_noted.workload, train, later, seed=1, on_epoch=states.append)
    old = {
        kind: renamed_as_before(getattr(states[0], kind), ["spectrum", "note"]) for kind in ("weights", "best_weights")
    }
    resumed = fit(toy_noted.workload, train, later, seed=1, resume=replace(states[0], **old))
    assert resumed.history == fitted.history
    assert all(torch.equal(resumed.weights[name], tensor) for name, tensor in fitted.weights.items())
