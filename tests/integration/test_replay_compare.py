"""A lived period beside what else could have been done, without Ray: the loop is what was answered and written down."""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow.compute as pc
import pytest
from ray import cloudpickle

from heliostat import Trees
from heliostat.errors import NotFoundError
from heliostat.govern.commands import TurnRecord
from heliostat.govern.quarantine import KEPT_OUT
from heliostat.govern.stored import record_to_json
from heliostat.learn.bundle import ServedModel
from heliostat.store.bundles import read_bundle
from heliostat.store.lake import Lake
from heliostat.watch.followed import ALERT
from heliostat.workload import load
from jobs import _entry
from jobs._replay_compare import Rivalry, compared, show_comparison
from tests.stage import START, set_up
from tests.toy_lake import answer, ingest, rows_of, tell

DAY = timedelta(days=1)
UNTIL = START + 90 * DAY


@pytest.fixture
def lived(tmp_path, monkeypatch, first_run):
    """Three months that version 2 answered alone, though two turns were taken; the labels came as they did."""
    made = set_up(tmp_path / "home", monkeypatch, lake=Lake(str(tmp_path / "home" / "lake")))
    ingest(made.lake, until=START)
    first_run.register(made.catalog)
    version = made.catalog.version("toy", 2)
    rows = rows_of(since=START, until=UNTIL)
    told = ServedModel.load(read_bundle(version.bundle_uri, version.bundle_hash)).answers(rows)
    answer(made.lake, rows, version=2, probability=told.tolist())
    tell(made.lake, rows)
    for number, day in ((1, 20), (2, 50)):
        record = TurnRecord(
            turn=number,
            reasons=(f"reason {number}",),
            onset_at=START + (day - 5) * DAY,
            detected_at=START + day * DAY,
            started_at=START + day * DAY,
            ended_at=START + day * DAY,
            num_fits=3,
            num_labels=1000 + number,
            cpu_s=7.0,
            outcome="held",
            outcome_reasons=("nothing better",),
        )
        payload = {"at": record.ended_at.isoformat(), **record_to_json(record), "numbers": {}}
        made.catalog.append("turn_ended", "toy", payload, by="steward", at=START)
    alert = {"reason": "no labels", "detected_at": (START + 30 * DAY).isoformat(), "evidence": {}}
    made.catalog.append(ALERT, "toy", alert, by="monitor", at=START)
    return made


def asked(stage, **changed):
    options = {"since": START, "until": UNTIL, "json": None, "plot": None} | changed
    return _entry.Job(
        settings=stage.settings,
        module="tests.toy_turns",
        workload=replace(load("tests.toy_turns"), trees=Trees(rounds=15, threads=1)),
        lake=stage.lake,
        catalog=stage.catalog,
        options=argparse.Namespace(**options),
    )


def here(rivalry):
    return {name: rivalry.played(name) for name in rivalry.names}


def test_the_loop_is_what_was_lived_and_the_others_answer_the_same_rows(lived, capsys, tmp_path):
    plot = tmp_path / "seen.png"
    result = show_comparison(asked(lived, plot=plot), run=here)
    found = json.loads((lived.settings.results_dir / "toy-compare.json").read_text())
    labelled = rows_of(since=START, until=UNTIL)
    assert found["num_scored"] == labelled.num_rows - labelled["label"].null_count
    # The first version answered all along, so the loop is never learning again, to the last digit.
    assert found["score"]["loop"] == found["score"]["never"]
    assert found["loop_less_never"]["log_loss"] == pytest.approx({"mean": 0, "low": 0, "high": 0}, abs=1e-9)
    assert (found["turns"]["loop"], found["fits"]["loop"], found["labels"]["loop"]) == (2, 6, 1002)
    assert (found["cpu_s"]["loop"], found["turns"]["even"], found["alarms"]) == (14.0, 2, 1)
    # What breaks the machines turns over these months: who learns again is far ahead.
    assert found["log_loss"]["schedule_5%"] < found["log_loss"]["never"] - 0.03
    assert result["best_schedule"] in found["score"]
    assert plot.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "toy, 2024-03-01 to 2024-05-30" in printed
    assert "Never again is version 2" in printed
    first_turn = int(np.sum(np.array(labelled["event_at"].to_pylist()) < START + 20 * DAY))
    [turn, _] = found["turn_list"]
    known = pc.sum(pc.less(rows_before(lived)["event_at"], START)).as_py()
    assert 0 < turn["row"] - known <= first_turn
    assert turn["outcome"] == "held: nothing better"


def test_what_a_policy_is_played_from_travels_to_another_process_and_gives_the_same_there(lived, tmp_path):
    kept = []

    def sent(rivalry):
        kept.append(rivalry)
        (tmp_path / "rivalry").write_bytes(cloudpickle.dumps((Rivalry.played, rivalry)))
        return {name: rivalry.played("never") for name in rivalry.names}

    compared(asked(lived), since=START, until=UNTIL, run=sent)
    code = "import pickle, sys; play, rivalry = pickle.load(open(sys.argv[1], 'rb'))\n"
    code += "print(repr(float(play(rivalry, 'schedule_20%').answers.sum())))"
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "rivalry")], capture_output=True, text=True, check=True
    )
    assert float(told.stdout.splitlines()[-1]) == float(kept[0].played("schedule_20%").answers.sum())


def rows_before(stage):
    return stage.lake.read("toy", "raw")


def test_what_taught_the_loop_alone_is_told(lived, capsys):
    ingest(lived.lake, since=START, until=START + 10 * DAY, sequence=2)
    told = rows_of(since=START, until=START + 10 * DAY, known_by=START + 10 * DAY)
    span = {"source": "a", "since": START.isoformat(), "until": UNTIL.isoformat(), "reason": "wrong"}
    lived.catalog.append(KEPT_OUT, "toy", span, by="somebody", at=START)
    show_comparison(asked(lived), run=lambda rivalry: {name: rivalry.played("never") for name in rivalry.names})
    printed = capsys.readouterr().out
    assert f"{told.num_rows - told['label'].null_count:,} rows of the period were ingested with their label" in printed
    assert "did not learn from labels that were shut out" in printed


def test_a_period_without_answers_is_one_sentence(lived):
    with pytest.raises(NotFoundError, match="too few to compare"):
        show_comparison(asked(lived, since=UNTIL, until=UNTIL + DAY), run=here)
