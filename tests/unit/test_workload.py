"""A user's declaration: wrong ones are refused before anything runs, with the fix."""

import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from heliostat import AtMost, Binary, Cache, Category, LongAnswers, Loop, Number, Pool, Serving, Training, Workload
from heliostat.errors import WorkloadError
from heliostat.metrics import Metric
from heliostat.workload import load
from tests import toy


@dataclass(frozen=True)
class Nothing:
    """A source without parts."""

    def parts(self) -> list[str]:
        return []

    def read(self, part: str) -> pa.Table:
        raise KeyError(part)


def declared(**changes: Any) -> Workload:
    values: dict[str, Any] = {
        "name": "toy",
        "source": Nothing(),
        "key": "reading",
        "event_time": "read_at",
        "due_time": "checked_by",
        "label_time": "checked_at",
        "columns": (Number("load", low=0, high=1), Category("site")),
        "label": Binary("failed"),
        "encode": lambda batch: batch,
        "model": lambda sizes: sizes,
    }
    return Workload(**values | changes)


def test_a_small_declaration_has_usable_defaults():
    workload = declared()
    assert {metric.name for metric in workload.metrics} == {"log_loss", "auc", "brier", "calibration_error"}
    assert len(workload.gates) == 2
    assert len(workload.retrain_on) == 1


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ümlaut!", "-", "a.b"])
def test_a_name_that_cannot_be_an_address_is_refused(name):
    with pytest.raises(WorkloadError, match="part of its address"):
        declared(name=name)


@pytest.mark.parametrize("name", ["flights", "flights-2", "new_york"])
def test_a_name_of_letters_digits_and_dashes_is_taken(name):
    assert declared(name=name).name == name


def test_a_model_needs_an_input():
    with pytest.raises(WorkloadError, match="at least one input"):
        declared(columns=())


@pytest.mark.parametrize("name", ["reading", "read_at", "checked_by", "checked_at", "failed", "load"])
def test_a_name_declared_twice_is_refused_with_that_name(name):
    with pytest.raises(WorkloadError, match=f"names {name} more than once"):
        declared(columns=(Number("load", low=0, high=1), Number(name, low=0, high=1)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"num_workers": 0},
        {"validation_share": 0.0},
        {"validation_share": 0.5},
        {"windows": ()},
    ],
)
def test_training_that_cannot_run_is_refused(wrong):
    with pytest.raises(WorkloadError):
        Training(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cooldown": timedelta(days=-1)},
        {"canary_span": timedelta(days=-1)},
        {"shadow_span": timedelta(days=-1)},
        {"max_model_ms": 0},
        {"holdout_span": timedelta(0)},
        {"window": timedelta(0)},
        {"canary_shares": (0.0,)},
        {"canary_shares": (0.5, 1.5)},
        {"max_turns": -1},
    ],
)
def test_a_loop_that_cannot_turn_is_refused(wrong):
    with pytest.raises(WorkloadError, match=next(iter(wrong))):
        Loop(**wrong)


@pytest.mark.parametrize("name", ["num_replicas", "max_rows_per_request", "max_body_bytes"])
def test_serving_nothing_is_refused(name):
    with pytest.raises(WorkloadError, match="at least 1"):
        Serving(**{name: 0})


def test_a_declaration_cannot_be_changed_but_copied():
    workload = declared()
    with pytest.raises(AttributeError):
        workload.name = "other"  # type: ignore[misc]
    assert replace(workload, name="other").name == "other"


def test_an_unknown_workload_is_refused_and_the_known_ones_named():
    with pytest.raises(WorkloadError, match=r"No workload 'workloads.hotels'; there are: .*workloads\."):
        load("workloads.hotels")


def module(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    return name


def test_a_module_without_a_workload_is_told_what_to_add(tmp_path, monkeypatch):
    name = module(tmp_path, "declares_nothing", "workload = 3\n", monkeypatch)
    with pytest.raises(WorkloadError, match=r"add `workload = Workload\(...\)`"):
        load(name)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import a_package_that_nobody_has\n", r"No module named 'a_package_that_nobody_has' \(odd.py, line 1\); mend"),
        (
            "\nrows = 1 / 0\n",
            r"odd cannot be imported: ZeroDivisionError: division by zero \(odd.py, line 2\); mend it",
        ),
        ("import sys\nsys.exit(4)\n", r"odd cannot be imported: SystemExit: 4 \(odd.py, line 2\)"),
        ("def f(:\n", r"odd cannot be imported: SyntaxError: .*\(odd.py, line 1\)"),
    ],
)
def test_a_workload_that_cannot_be_imported_is_told_with_its_line(tmp_path, monkeypatch, source, told):
    name = module(tmp_path, "odd", source, monkeypatch)
    monkeypatch.delitem(sys.modules, "odd", raising=False)
    with pytest.raises(WorkloadError, match=told):
        load(name)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": 3}, r"Workload\(name=3\): name takes a text, and this is of the type int; give one."),
        ({"label": "failed"}, r"Workload\(label='failed'\): give Binary"),
        ({"columns": ("load_percent",)}, "columns takes a tuple, each of it Number or Category or Vector or Text"),
        ({"encode": "encode"}, "encode takes a function, and this is of the type str"),
        ({"retrain_on": "always"}, "retrain_on takes a tuple, each of it Drift or "),
        ({"training": {"epochs": 3}}, "training takes Training, and this is of the type dict"),
    ],
)
def test_a_part_of_another_kind_is_refused_by_its_name(wrong, told):
    with pytest.raises(WorkloadError, match=told):
        declared(**wrong)


def test_watching_and_governing_need_neither_torch_nor_ray():
    code = (
        "import sys, heliostat.watch.monitor, heliostat.watch.windows, heliostat.watch.cohorts, "
        "heliostat.govern.turn, heliostat.govern.evidence, heliostat.govern.roles\n"
        "print(sorted({'torch', 'ray', 'sklearn', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"max_waiting_rows": 0}, "every number must be at least 1"),
        ({"max_waiting_rows": float("nan")}, "max_waiting_rows takes a whole number, and this is not a number; give"),
        ({"request_timeout_s": 0}, "request_timeout_s must lie above 0"),
        ({"request_timeout_s": 56}, "at most at 55"),
        ({"request_timeout_s": float("nan")}, "request_timeout_s takes a number, and this is not a number; give one"),
        ({"requests_per_s": 0}, "requests_per_s must be above 0"),
        ({"requests_per_s": float("inf")}, "requests_per_s must be above 0"),
        ({"requests_per_s": 5, "burst_requests": 0}, "burst_requests must be at least 1"),
        ({"burst_requests": 3}, "needs requests_per_s"),
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong, sentence):
    with pytest.raises(WorkloadError, match=sentence):
        Serving(**wrong)


@pytest.mark.parametrize("number", [0, float("nan")])
@pytest.mark.parametrize(
    ("declares", "name"), [(Pool, "max_loaded_models"), (Cache, "max_bytes"), (LongAnswers, "max_rows")]
)
def test_a_limit_below_one_or_of_no_number_is_refused(declares, name, number):
    with pytest.raises(WorkloadError, match=name):
        declares(**{name: number})


@pytest.mark.parametrize("default", [1.5, float("nan"), "red", True])
def test_a_default_that_is_no_probability_is_refused(default):
    with pytest.raises(WorkloadError, match=r"must be a probability from 0 to 1|default takes a number or a text"):
        declared(serving=Serving(default=default))


def test_every_metric_that_is_declared_or_asked_for_is_scored():
    own, gated = Metric("own", lambda labels, answers: 0.0), Metric("gated", lambda labels, answers: 0.0)
    declared = replace(toy.workload, metrics=[own], gates=[AtMost(gated, 1.0)])
    assert {"own", "gated", "log_loss", "auc"} <= {metric.name for metric in declared.scored_by}
