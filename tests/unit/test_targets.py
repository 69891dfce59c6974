"""What is said of the targets of serving follows from the numbers alone."""

import json
from types import SimpleNamespace

import pytest

from benchmarks import tables
from benchmarks.targets import BARE_RAY, COLUMNS, MANY, ONE, OURS, PACED, ROWS, verdicts

FASTAPI = "fastapi + uvicorn"


def row(server, load, requests_per_s, *, p50_ms=1.0, p99_ms=2.0, workers=1, failed=0, num_rows=1):
    measured = {"requests_per_s": requests_per_s, "rows_per_s": requests_per_s * num_rows, "failed": failed}
    return {"server": server, "workers": workers, "load": load, "p50_ms": p50_ms, "p99_ms": p99_ms, **measured}


def rows(ours):
    """We answer `ours` times what FastAPI does, in the same share of its time."""
    return [
        row(OURS, ONE, 100, p50_ms=1 / ours),
        row(FASTAPI, ONE, 100, p50_ms=1.0),
        row(OURS, MANY, 900.0, workers=1, p99_ms=9.0),
        row(OURS, MANY, 1000.0 * ours, workers=2, p99_ms=4.0 / ours),
        row(f"{OURS}, 32 named columns", MANY, 1e9, p99_ms=0.01),
        row(FASTAPI, MANY, 1000.0, p99_ms=4.0),
        row(BARE_RAY, MANY, 1000.0, p99_ms=4.0),
        row(OURS, ROWS, 1000 * ours, num_rows=64),
        row(FASTAPI, ROWS, 1000, num_rows=64),
        row(OURS, f"{COLUMNS}binary tensor", 100, p50_ms=6.0 / ours, num_rows=4096),
        row(OURS, PACED, 800.0, p99_ms=900.0, workers=1),
        row(OURS, PACED, 1600.0, p99_ms=60.0 / ours, workers=2),
    ]


@pytest.mark.parametrize(("ours", "is_met"), [(2.0, True), (0.5, False)])
def test_every_target_is_judged_by_the_better_number_of_workers(ours, is_met):
    found = verdicts(rows(ours), model_ms=2.0)
    assert [verdict.is_met for verdict in found] == [is_met] * 7, found


def test_bare_ray_is_judged_by_its_own_share_alone():
    measured = [row(OURS, MANY, 960.0), row(BARE_RAY, MANY, 1000.0), row(FASTAPI, MANY, 970.0)]
    outside, bare, *_ = verdicts(measured, model_ms=None)
    assert (outside.is_met, bare.is_met) == (False, True)
    assert "0.99 of fastapi + uvicorn (970)" in outside.found


def test_a_target_without_a_measurement_is_neither_met_nor_missed():
    assert {verdict.is_met for verdict in verdicts([row(FASTAPI, ONE, 100)], model_ms=None)} == {None}


def test_a_load_with_a_failed_request_misses_its_target():
    *_, paced = verdicts([row(OURS, MANY, 1000.0), row(OURS, PACED, 800.0, failed=1)], model_ms=None)
    assert paced.is_met is False


def test_what_is_between_the_marks_is_written_anew_and_the_rest_stays(tmp_path, monkeypatch):
    page, results = tmp_path / "benchmarks.md", tmp_path / "results.jsonl"
    page.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    monkeypatch.setattr(tables, "PAGE", page)
    lines = [
        {**each, "at": f"2026-11-22T0{number % 10}", "max_ms": 9.0, "seconds": 3}
        for number, each in enumerate(rows(2.0))
    ]
    lines += [{"server": "in process", "at": "2026-11-22T05", "network_ms": 1.0, "model_ms": 2.0}]
    lines += [
        {"server": OURS, "at": "2026-11-22T05", "load_before": 0.4},
        {"server": "bentoml", "workers": "any", "error": "gone", "at": "x"},
    ]
    results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    tables.write(
        SimpleNamespace(results=results), [SimpleNamespace(name=name, configuration="so") for name in (OURS, FASTAPI)]
    )
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("| met |") == 7
    assert "Medians of 1 rounds, 3 s a load" in text
    assert "bentoml with any workers was not measured: gone" in text
