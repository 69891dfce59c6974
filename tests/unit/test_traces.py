"""Where a worker is can be read from the file after its process ended, however it ended."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from heliostat.errors import TrainingError
from heliostat.learn.tuned import with_model_options
from jobs._attempts import Trace, attempts_in, marked, traced
from tests.toy import workload

ROOT = Path(__file__).resolve().parents[2]
ENDS = """
import os, sys
from jobs._attempts import traced
with traced(sys.argv[1], rank=3) as trace:
    trace.at("reading the rows")
    trace.begin("last-35d")
    trace.step_done(17)
    trace.at("encode (a.py, line 3)")
    os._exit(5)
"""


def test_a_process_that_ends_by_itself_leaves_its_place_and_how_long_it_took(tmp_path):
    (tmp_path / "attempts").mkdir()
    ended = subprocess.run([sys.executable, "-c", ENDS, str(tmp_path / "attempts")], cwd=ROOT, check=False)
    assert ended.returncode == 5
    [attempt] = attempts_in(tmp_path / "attempts")
    assert (attempt.rank, attempt.place) == (3, "encode (a.py, line 3), after step 17 of candidate 'last-35d'")
    assert attempt.used_s > 0


def test_an_attempt_that_ends_in_order_leaves_no_place(tmp_path):
    with traced(str(tmp_path), rank=0) as trace:
        trace.begin("all")
        [under_way] = attempts_in(tmp_path)
    [attempt] = attempts_in(tmp_path)
    assert under_way.place == "between its steps, after step 0 of candidate 'all'"
    assert attempt.place == ""
    assert attempts_in(None) == attempts_in(tmp_path / "nowhere") == []


def test_a_node_that_does_not_see_the_folder_of_the_run_is_told_so(tmp_path):
    with (
        pytest.raises(TrainingError, match=r"worker 3 does not see \S*elsewhere, .*HELIOSTAT_HOME"),
        traced(str(tmp_path / "elsewhere"), rank=3),
    ):
        pass


class Told(Trace):
    """What is noted, in order."""

    def __init__(self):
        super().__init__(bytearray(512))
        self.places = []

    def at(self, what):
        self.places.append(what)


def test_the_users_code_is_noted_where_it_begins_and_ends_and_answers_as_before():
    trace = Told()

    def model(sizes, width=4):
        return workload.model(sizes)

    tuned = with_model_options(replace(workload, model=model), {"model.width": 8})
    noted = marked(tuned, trace)
    noted.model({"site": 5})
    line = model.__code__.co_firstlineno
    assert trace.places == [f"model (test_traces.py, line {line})"] * 2
    assert noted.kinds == workload.kinds
