import sys
import textwrap
import traceback
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

from heliostat.errors import BundleError, WorkloadError
from heliostat.learn.source_code import SourceCode, collect, load

WORKLOAD = """
from {package}.source import Rows
from heliostat import Binary, Number, Workload

{extra}

def encode(batch):
    return {{"x": batch["x"] * {factor}}}

workload = Workload(
    name="small", source=Rows(), key="key", event_time="at", due_time="due", label_time="known",
    columns=[Number("x", low=0, high=1)], label=Binary("y"), encode=encode, model=dict,
)
"""
SOURCE = """
from {package}.deeper import reading

class Rows:
    def parts(self):
        return reading.PARTS
    def read(self, part):
        raise AssertionError("rows were read at load time")
"""


class Folder:
    """A package of workloads on the import path."""

    def __init__(self, path, package):
        self.path, self.package = path / package, package

    def write(self, file, text, **values):
        target = self.path / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text).format(package=self.package, **values))

    def write_all(self, *, factor=1, extra=""):
        self.write("__init__.py", "")
        self.write("small.py", WORKLOAD, factor=factor, extra=extra)
        self.write("source.py", SOURCE)
        self.write("deeper/__init__.py", "")
        self.write("deeper/reading.py", "PARTS = ['only']")
        self.write("other.py", "raise AssertionError('another use case was imported')")

    def collect(self, module="small"):
        return collect(f"{self.package}.{module}")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    made = Folder(tmp_path, "cases_of_" + tmp_path.name.replace("-", "_"))
    made.write_all()
    return made


def test_files_that_the_workload_imports_travel_and_others_do_not(folder):
    prefix = folder.package
    assert set(folder.collect().files) == {
        f"{prefix}/__init__.py",
        f"{prefix}/small.py",
        f"{prefix}/source.py",
        f"{prefix}/deeper/__init__.py",
        f"{prefix}/deeper/reading.py",
    }


def test_collecting_runs_nothing(folder):
    folder.write("small.py", "raise AssertionError('it ran')")
    assert f"{folder.package}/small.py" in folder.collect().files
    assert f"{folder.package}.small" not in sys.modules


def test_a_workload_loads_with_its_helper_files_and_reads_no_rows(folder):
    workload = load(folder.collect())
    assert workload.source.parts() == ["only"]
    assert type(workload.source).__module__.startswith("heliostat_bundle_")


def test_loading_does_not_touch_the_name_on_disk(folder):
    load(folder.collect())
    assert not any(name.startswith(folder.package) for name in sys.modules)


def test_two_versions_answer_side_by_side_after_the_files_on_disk_were_edited(folder):
    old = load(folder.collect())
    folder.write_all(factor=10)
    new = load(folder.collect())
    assert (old.encode({"x": 2}), new.encode({"x": 2})) == ({"x": 2}, {"x": 20})
    folder.write("small.py", "not even python")
    assert (old.encode({"x": 2}), new.encode({"x": 2})) == ({"x": 2}, {"x": 20})


def test_a_change_of_a_helper_file_alone_makes_another_version(folder):
    before = folder.collect()
    folder.write("deeper/reading.py", "PARTS = ['another']")
    after = folder.collect()
    assert before.digest != after.digest
    assert [load(source).source.parts() for source in (before, after)] == [["only"], ["another"]]


def test_the_same_source_is_loaded_once_even_by_many_threads(folder):
    source = folder.collect()
    with ThreadPoolExecutor(8) as threads:
        loaded = list(threads.map(lambda _: load(source), range(16)))
    assert all(workload is loaded[0] for workload in loaded)


IMPORTS = [
    "import {package}.deeper.reading\nPARTS = {package}.deeper.reading.PARTS",
    "import {package}.deeper.reading as reading\nPARTS = reading.PARTS",
    "from {package} import deeper\nfrom {package}.deeper import reading\nPARTS = deeper.reading.PARTS",
    "from .deeper import reading\nPARTS = reading.PARTS",
    "from .deeper.reading import PARTS",
    "from . import deeper\nfrom .deeper import reading as _\nPARTS = deeper.reading.PARTS",
    "def parts():\n    from {package}.deeper import reading\n    return reading.PARTS\nPARTS = parts()",
    "import json, {package}.deeper.reading as reading\nPARTS = json.loads(json.dumps(reading.PARTS))",
]


@pytest.mark.parametrize("statement", IMPORTS)
def test_every_form_of_import_finds_the_bundled_file(folder, statement):
    folder.write_all(extra=statement.format(package=folder.package))
    source = folder.collect()
    folder.write("deeper/reading.py", "PARTS = ['edited on disk']")
    load(source)
    module = sys.modules[f"{source.package}.{source.module}"]
    assert module.PARTS == ["only"]
    assert not any(name.startswith(folder.package) for name in sys.modules)


def test_a_late_import_still_finds_the_bundled_file(folder):
    late = "def parts():\n    from {package}.deeper import reading\n    return reading.PARTS"
    folder.write_all(extra=late.format(package=folder.package))
    source = folder.collect()
    load(source)
    folder.write("deeper/reading.py", "PARTS = ['edited on disk']")
    assert sys.modules[f"{source.package}.{source.module}"].parts() == ["only"]


def test_a_package_may_hold_the_workload_itself(folder):
    folder.write("churn/__init__.py", WORKLOAD, factor=3, extra="from .words import WORD")
    folder.write("churn/words.py", "WORD = 'left'")
    assert load(folder.collect("churn")).encode({"x": 1}) == {"x": 3}


def test_a_folder_without_an_init_file_works_too(folder):
    (folder.path / "__init__.py").unlink()
    source = folder.collect()
    assert f"{folder.package}/__init__.py" not in source.files
    assert load(source).source.parts() == ["only"]


def test_a_traceback_shows_the_bundled_line(folder):
    folder.write_all(extra="def fail():\n    raise RuntimeError('as bundled')  # marked")
    source = folder.collect()
    load(source)
    module = sys.modules[f"{source.package}.{source.module}"]
    with pytest.raises(RuntimeError) as caught:
        module.fail()
    assert "# marked" in "".join(traceback.format_exception(caught.value))


def test_a_module_that_is_not_there_is_named(folder):
    with pytest.raises(WorkloadError, match="nowhere"):
        folder.collect("nowhere")


def test_a_lost_helper_file_or_package_is_named(folder):
    source = folder.collect()
    lost = {path: content for path, content in source.files.items() if not path.endswith("reading.py")}
    with pytest.raises(BundleError, match="reading"):
        load(SourceCode(module=source.module, files=lost))


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise type('Panic', (BaseException,), {})('in Rust')"])
def test_a_source_that_would_end_the_process_cannot_be_loaded(folder, ending):
    source = folder.collect()
    ended = {path: content + f"\nimport sys\n{ending}\n".encode() for path, content in source.files.items()}
    with pytest.raises(BundleError, match="own code ended with"):
        load(SourceCode(module=source.module, files=ended))


def test_a_source_without_a_workload_is_refused(folder):
    folder.write("small.py", "workload = 'not one'")
    with pytest.raises(BundleError, match="no variable `workload`"):
        load(folder.collect())


@pytest.mark.skipif(find_spec("workloads.flights") is None, reason="the flights workload is not there")
def test_the_flights_workload_travels_with_its_source_reader():
    source = collect("workloads.flights")
    assert {"workloads/flights.py", "workloads/flights_source.py"} <= set(source.files)
    assert load(source).name == "flights"
