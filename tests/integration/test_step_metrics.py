"""Where the steps of a fit go: an event file that other programs read."""

import re
from dataclasses import replace

import pytest
from tensorboardX.proto.event_pb2 import Event

from heliostat.learn.epochs import no_step
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from heliostat.learn.state import FitState
from jobs import _reached, _step_metrics
from jobs._reached import newest
from jobs._step_metrics import watched
from tests.toy import workload
from tests.toy_rows import labelled_rows

NAMES = {"loss", "step_seconds", "rows_per_second"}


def events(directory) -> list[Event]:
    """The events of the one file: each is a length, a checksum, the event, a checksum."""
    (file,) = directory.glob("events.out.tfevents.*")
    data, found, at = file.read_bytes(), [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        found.append(Event.FromString(data[at + 12 : at + 12 + size]))
        at += 12 + size + 4
    return found


def test_a_fit_leaves_its_steps_in_an_event_file_and_is_the_same_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(_step_metrics, "EVERY_S", 0.0)
    parts = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)
    quick = replace(workload, training=replace(workload.training, epochs=2))
    states = []
    unwatched = fit(quick, *parts, seed=1)
    with watched(str(tmp_path), workload="toy", run_id="first", candidate="all", on_epoch=states.append) as told:
        fitted = fit(quick, *parts, seed=1, on_step=told[0], on_epoch=told[1])
    assert [len(state.history) for state in states] == [1, 2]
    assert fitted.history == unwatched.history
    told = [
        (value.tag, event.step, value.simple_value)
        for event in events(tmp_path / "all")
        for value in event.summary.value
    ]
    losses = [(step, loss) for tag, step, loss in told if tag == "loss"]
    assert {tag for tag, _, _ in told} == NAMES
    assert [step for step, _ in losses] == list(range(1, len(losses) + 1))
    num_steps = len(losses) // 2
    assert sum(loss for _, loss in losses[num_steps:]) / num_steps == pytest.approx(
        fitted.history[1].train_loss, abs=1e-5
    )


def test_without_a_directory_nobody_watches():
    with watched(None, workload="toy", run_id="first", candidate="all", on_epoch=print) as (on_step, on_epoch):
        assert on_step is no_step
        assert on_epoch is print


def test_a_fit_says_how_far_it_is_while_it_runs_and_nothing_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr(_step_metrics, "EVERY_S", 0.0)
    monkeypatch.setattr(_reached, "EVERY_S", 0.0)
    found = []

    def look(_: FitState) -> None:
        found.append(newest(tmp_path, "toy", since_s=0))

    parts = split_by_time(labelled_rows("2024-01", rows_per_part=600), share=0.2)
    quick = replace(workload, training=replace(workload.training, epochs=2))
    with watched(str(tmp_path / "first"), workload="toy", run_id="first", candidate="all", on_epoch=look) as told:
        fitted = fit(quick, *parts, seed=1, on_step=told[0], on_epoch=told[1])
    first, last = found
    assert (first.name, first.num_all) == ("all", last.num_all)
    assert [first.num_done, last.num_done] == [last.num_all / 2, last.num_all]
    assert re.fullmatch(r"epoch 1/2, loss \d\.\d{4}", first.words)
    assert last.words.endswith(f", later rows {fitted.history[0].validation_loss:.4f}")
    assert newest(tmp_path, "toy", since_s=0) is None
