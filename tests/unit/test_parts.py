"""A checkpoint in parts: what one worker alone writes and reads of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from heliostat.errors import TrainingError
from heliostat.learn import parts
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from heliostat.learn.state import FitState
from jobs._parts import has_all_parts
from jobs._progress import read_kept
from tests.toy import workload
from tests.toy_rows import labelled_rows

SHORT = replace(workload, training=replace(workload.training, epochs=3, checkpoint_steps=3, shard=True))


@pytest.fixture(scope="module")
def rows():
    return split_by_time(labelled_rows("2024-01", rows_per_part=600), share=0.2)


@pytest.fixture(scope="module")
def states(rows) -> list[FitState]:
    found: list[FitState] = []
    fit(SHORT, *rows, seed=1, on_epoch=found.append)
    return found


def kept_in(state: FitState, directory: Path) -> FitState:
    parts.write(state, directory)
    return FitState.of(state.header(), {}, parts_dir=directory)


@pytest.mark.parametrize("number", [0, 4, -1])
def test_what_goes_on_from_parts_ends_with_the_same_bits(rows, states, tmp_path, number):
    resumed = fit(SHORT, *rows, seed=1, resume=kept_in(states[number], tmp_path))
    whole = fit(SHORT, *rows, seed=1)
    assert resumed.history == whole.history
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)


def test_parts_whose_list_was_not_written_are_no_checkpoint(states, tmp_path):
    state = kept_in(states[2], tmp_path)
    (tmp_path / "done.json").write_text("{}")
    (tmp_path / "fit.json").write_text('{"fingerprint": "f", "history": "[]", "under_way": "[3, 0.5]"}')
    assert has_all_parts(tmp_path)
    assert read_kept(tmp_path)[1].num_steps == 3
    (state.parts_dir / ".metadata").unlink()
    assert not has_all_parts(tmp_path)
    with pytest.raises(TrainingError, match="lacks parts"):
        read_kept(tmp_path)


def test_a_part_that_was_lost_is_told_in_one_sentence(rows, states, tmp_path):
    state = kept_in(states[2], tmp_path)
    next(tmp_path.glob("*.distcp")).unlink()
    with pytest.raises(TrainingError, match=r"parts of a checkpoint cannot be read from .*FileNotFoundError"):
        fit(SHORT, *rows, seed=1, resume=state)


def test_parts_that_cannot_be_written_are_told_in_one_sentence(states, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TrainingError, match=r"cannot be written to .*; see to the disk"):
        parts.write(states[0], tmp_path / "file")


def test_parts_of_another_network_are_refused(states, tmp_path):
    state = kept_in(states[2], tmp_path)
    other = nn.Linear(3, 1)
    with pytest.raises(RuntimeError, match=r"of shape .* is not in it"):
        parts.read(state, other, torch.optim.AdamW(other.parameters()))
