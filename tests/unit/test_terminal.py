"""What a person at a terminal sees of a job; the terminal is a real one, of the operating system."""

import os
import pty
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from heliostat.settings import Settings
from jobs import _reached, _terminal
from jobs._job_output import JobOutput
from jobs._reached import Reached, ReachedFile, newest

LOG = (
    "49,601 rows to learn from\n"
    "(RayTrainWorker pid=12)   epoch 1: loss 0.4953, later rows 0.5001\n"
    "(RayTrainWorker pid=12) candidate all: 49,601 rows [half]\n"
)
HALF = Reached(workload="toy", name="all", num_done=50, num_all=100, words="epoch 3/5, loss 0.4411")


class Screen:
    """Both ends of a terminal."""

    def __init__(self) -> None:
        self.own, end = pty.openpty()
        self.file = os.fdopen(end, "w")

    def said(self) -> str:
        """All that was written since, without colours; a carriage return begins a line anew, as on a screen."""
        self.file.flush()
        os.set_blocking(self.own, False)
        found = b""
        while True:
            try:
                found += os.read(self.own, 65536)
            except BlockingIOError:
                return re.sub(r"\x1b\[[0-9;]*m", "", found.decode())


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    made = Screen()
    yield made
    made.file.close()
    os.close(made.own)


def test_a_terminal_gets_the_lines_once_and_a_bar_that_says_how_far_it_is(screen):
    reached = iter([HALF, replace(HALF, num_done=75, words="epoch 4/5, loss 0.4300, later rows 0.4502"), None])
    shown = _terminal.TerminalOutput(lambda: next(reached), indent="", file=screen.file)
    shown(LOG)
    begun = screen.said()
    assert "50/100" in begun
    assert "epoch 3/5, loss 0.4411" in begun
    shown("")
    shown.refresh()
    more = screen.said()
    assert "75/100" in more
    assert "epoch 4/5, loss 0.4300, later rows 0.4502" in more
    shown("")
    whole = begun + more + screen.said()
    assert whole.count("49,601 rows to learn from") == 1
    assert whole.count("candidate all: 49,601 rows [half]") == 1
    assert "epoch 1: loss" not in whole  # the bar says it
    assert whole.rstrip("\r").endswith("\x1b[2K")  # the line of the bar is cleared, and its cursor is back
    assert whole.count("\x1b[?25l") == whole.count("\x1b[?25h") == 1


def test_what_comes_next_gets_a_bar_of_its_own(screen):
    reached = iter([HALF, replace(HALF, name="all+holdout", num_done=1, num_all=60)])
    shown = _terminal.TerminalOutput(lambda: next(reached), indent="", file=screen.file)
    shown("")
    shown("")
    shown.close()
    said = screen.said()
    assert "all+holdout" in said
    assert "1/60" in said


def test_what_is_no_terminal_gets_plain_lines(tmp_path, capsys):
    assert not sys.stdout.isatty()
    with _terminal.output(Settings(home=tmp_path), "toy", indent="") as shown:
        assert type(shown) is JobOutput
        shown(LOG)
    assert capsys.readouterr().out == (
        "49,601 rows to learn from\n  epoch 1: loss 0.4953, later rows 0.5001\ncandidate all: 49,601 rows [half]\n"
    )


def told_in(root: Path, run: str, reached: Reached, *, at_s: float) -> None:
    ReachedFile(root / run).tell(reached)
    os.utime(root / run / _reached.FILE, (at_s, at_s))


def test_the_newest_job_of_the_workload_is_shown_and_none_that_was_there_before(tmp_path):
    told_in(tmp_path, "before", replace(HALF, num_done=1), at_s=90)
    assert newest(tmp_path, "toy", since_s=100) is None
    told_in(tmp_path, "first", replace(HALF, num_done=2), at_s=110)
    told_in(tmp_path, "second", replace(HALF, num_done=3), at_s=120)
    told_in(tmp_path, "other", replace(HALF, workload="other"), at_s=130)
    assert newest(tmp_path, "toy", since_s=100).num_done == 3
    ReachedFile(tmp_path / "second").end()
    assert newest(tmp_path, "toy", since_s=100).num_done == 2


def test_a_job_tells_how_far_it_is_at_most_twice_a_second(tmp_path):
    file = ReachedFile(tmp_path)
    assert file.is_due()
    file.tell(HALF)
    assert not file.is_due()
