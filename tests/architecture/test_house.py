"""The rules of the house that a machine can check."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("heliostat", "workloads", "cluster", "actors", "serve_apps", "jobs")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in SOURCES)
MAX_LINES = 300
BANNED_NAMES = {"utils", "common", "helpers", "manager", "base"}


def _in_fresh_python(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )


def test_imports_run_one_way():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_fits_on_a_few_screens_and_has_a_name_that_says_something(path):
    assert len(path.read_text().splitlines()) <= MAX_LINES
    assert path.stem.strip("_") not in BANNED_NAMES


def test_importing_any_module_does_nothing(tmp_path):
    imports = "; ".join(f"import {module}" for module in MODULES)
    done = _in_fresh_python(imports, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_the_actors_and_the_vocabulary_import_without_torch(tmp_path):
    code = (
        "import sys, heliostat, actors.start, heliostat.watch.monitor, heliostat.store.catalog;"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    done = _in_fresh_python(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_readme_shows_the_tree_as_it_is():
    tree = re.search(r"```\n(heliostat/.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert tree is not None, "README.md has no tree that starts with heliostat/"
    shown = set(re.findall(r"^(?:  )?([\w./-]+?)(?=\s)", tree[1], re.M))
    folders = {f"{package}/" for package in PACKAGES} | {
        f"{folder.name}/" for folder in (ROOT / "heliostat").iterdir() if folder.is_dir() and folder.name[0] != "_"
    }
    jobs = {path.name for path in (ROOT / "jobs").glob("[a-z]*.py")}
    assert folders | jobs <= shown, sorted((folders | jobs) - shown)


@pytest.mark.parametrize("folder", ["jobs", "actors"])
def test_every_part_says_what_it_reads_and_writes(folder):
    silent = {
        "handles.py",
        "judged.py",
        "proxy.py",
        "leases.py",
        "start.py",
        "trial.py",
        "commanding.py",
        "down.py",
        "__init__.py",
    }
    for path in (ROOT / folder).glob("*.py"):
        if path.name in silent or path.name.startswith("_"):
            continue
        text = path.read_text()
        assert "\nReads:  " in text, path
        assert "\nWrites: " in text, path


def test_no_two_test_files_have_one_name():
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []  # pytest refuses to collect them together
