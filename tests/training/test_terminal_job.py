"""Training that a person starts outside the cluster: it becomes a job, and what it says depends on who looks."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from tests.training.conftest import ROOT

MODULE = "tests.toy_long"
SEARCHED = "tests.toy_tuned_trees"
AS_OF = "2024-03-01"


@pytest.fixture(scope="module")
def started(installation):
    installation.run("deploy", MODULE, "--clock", "replayed")
    installation.run("ingest", MODULE, "--until", AS_OF)
    settings = installation.settings
    environment = {
        **os.environ,
        "HELIOSTAT_HOME": str(settings.home),
        "HELIOSTAT_BASE_PORT": str(settings.base_port),
        "TERM": "xterm",
        "COLUMNS": "120",
    }

    def start(
        run_id: str, *, stdout: int, as_of: str = AS_OF, verb: str = "train", module: str = MODULE
    ) -> subprocess.Popen:
        command = [sys.executable, "-m", f"jobs.{verb}", module, "--as-of", as_of, "--run", run_id]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stdout, stderr=subprocess.STDOUT)

    return start


def on_terminal(start, run_id: str, **options: str) -> tuple[int, str]:
    own, end = pty.openpty()
    process = start(run_id, stdout=end, **options)
    os.close(end)
    said = b""
    while True:
        try:
            said += os.read(own, 65536)
        except OSError:  # nobody writes any more
            break
    os.close(own)
    return process.wait(timeout=60), said.decode()


def lines(shown: str) -> list[str]:
    """What stays on the screen, without what moves the cursor."""
    return [line for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown).splitlines() if line.strip()]


@pytest.mark.ray
def test_a_terminal_shows_a_bar_and_a_pipe_the_plain_lines_and_both_the_result(started):
    code, shown = on_terminal(started, "on-terminal")
    assert code == 0, shown[-3000:]
    assert "\x1b[?25l" in shown  # the cursor is hidden while there is a bar
    assert "later rows" in shown
    assert "  epoch 1: loss" not in shown
    assert shown.count("candidate all: ") == 1
    assert len(json.loads(lines(shown)[-1])["versions"]) == 2

    plain = started("piped", stdout=subprocess.PIPE)
    told = plain.communicate(timeout=300)[0].decode()
    assert plain.returncode == 0, told[-3000:]
    assert "\x1b" not in told
    assert told.count("  epoch 1: loss") == 2  # of the fit, and of the one with all rows
    assert len(json.loads(told.strip().splitlines()[-1])["versions"]) == 2


@pytest.mark.ray
def test_a_job_that_fails_says_why_and_gives_its_code(started):
    process = started("on-terminal", stdout=subprocess.PIPE, as_of="2024-02-20")
    said = process.communicate(timeout=300)[0].decode()
    assert process.returncode == 1
    assert "was started as of 2024-03-01" in said


@pytest.mark.ray
def test_a_search_over_trees_shows_a_bar_on_a_terminal_and_ends_with_its_table_and_its_versions(installation, started):
    installation.run("deploy", SEARCHED, "--clock", "replayed")
    installation.run("ingest", SEARCHED, "--until", AS_OF)
    code, shown = on_terminal(started, "searched", verb="tune", module=SEARCHED)
    assert code == 0, shown[-3000:]
    assert "\x1b[?25l" in shown  # the cursor is hidden while there is a bar
    told = lines(shown)
    assert not [line for line in told if "Configuration for experiment" in line or "TensorBoard" in line]
    assert any("4 trials of searched, by loss on later rows" in line for line in told)
    # The bar is drawn again and again, also before a line of the table.
    assert re.search(r"trial +score +rounds +trees.depth +trees.learning_rate +trees.row_share", " ".join(told))
    result = json.loads(told[-1])
    assert (result["num_trials"], len(result["versions"])) == (4, 2)
    assert set(result["best"]["configuration"]) == {"trees.depth", "trees.learning_rate", "trees.row_share"}
