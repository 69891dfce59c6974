import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv, feather

from heliostat import Binary, Category, Classes, Number, Quantity
from heliostat.tasks import task_of
from jobs._simulation_input import read
from jobs._simulation_network import Networks
from jobs.simulate import main

ROOT = Path(__file__).resolve().parents[2]
NUM_ROWS = 1500


@pytest.fixture
def data(tmp_path):
    generator = np.random.default_rng(5)
    x = generator.normal(size=NUM_ROWS)
    is_late = np.arange(NUM_ROWS) >= NUM_ROWS // 2
    label = (x > 0) ^ is_late ^ (generator.random(NUM_ROWS) < 0.1)
    columns = {
        "x": x,
        "kind": generator.choice(["a", "b", None], NUM_ROWS).tolist(),
        "many": [f"id-{row}" for row in range(NUM_ROWS)],
        "empty": pa.nulls(NUM_ROWS, pa.float64()),
        "constant": np.ones(NUM_ROWS),
        "flag": generator.random(NUM_ROWS) < 0.5,
        "hour": np.arange(NUM_ROWS),
        "told": np.arange(NUM_ROWS) + 20,
        "y": np.where(label, "stay", "go").tolist(),
    }
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_a_table_as_it_is_gives_text_json_and_a_plot(data, tmp_path, capsys):
    out, plot = tmp_path / "out.json", tmp_path / "out.png"
    arguments = ["--data", str(data), "--label", "y", "--event-time", "hour", "--label-time", "told"]
    assert main([*arguments, "--json", str(out), "--plot", str(plot)]) == 0
    printed = capsys.readouterr().out
    assert "'go' counts as 0 and 'stay' as 1" in printed
    assert printed.splitlines()[-3].startswith(("Yes", "No"))
    found = json.loads(out.read_text())
    for name in ("score", "turns", "fits", "promotions", "labels", "cpu_s"):
        assert {"never", "schedule_5%", "schedule_10%", "schedule_20%", "even", "loop"} <= set(found[name])
    assert found["best_schedule"] in found["score"]
    assert found["gain_share"] > 0
    assert len(found["deciles"]["loop"]) == 10
    assert found["alarms"] == len(found["alarm_list"])
    assert found["cpu_s"]["never"] < found["cpu_s"]["schedule_5%"]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_quantities_are_played_when_asked_for(data, tmp_path, capsys):
    table, path, out = pq.read_table(data), tmp_path / "amounts.parquet", tmp_path / "out.json"
    turned = np.where(np.arange(NUM_ROWS) < 700, 1e6, -1e6) * table["x"].to_numpy()
    pq.write_table(table.select(["x", "kind", "constant"]).append_column("amount", pa.array(turned)), path)
    assert main(["--data", str(path), "--label", "amount", "--task", "regression", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["metric"] == "r2"
    assert "AUC" not in capsys.readouterr().out
    assert found["score"]["loop"] > found["score"]["never"] + 0.1
    assert found[found["loss_metric"]]["loop"] < found[found["loss_metric"]]["never"]


@pytest.mark.parametrize("kind", ["binary", "classes", "quantity"])
def test_a_network_learns_any_kind_of_label_from_any_kind_of_column(kind):
    generator = np.random.default_rng(1)
    x = generator.normal(size=900)
    table = pa.table({"label": x, "key": ["a", None, "b"] * 300, "gone": pa.nulls(900, pa.float64())})
    columns = (
        Number("label", low=-9, high=9),
        Category("key", optional=True),
        Number("gone", low=0, high=1, optional=True),
    )
    label = {"binary": Binary("y"), "classes": Classes("y", values=("u", "v", "w")), "quantity": Quantity("y")}[kind]
    task = task_of(label)
    y = {"binary": x > 0, "classes": np.digitize(x, [-0.5, 0.5]), "quantity": 100 * x}[kind].astype(float)
    model = Networks(columns, task=task).fit(table.slice(0, 700), y[:700])
    answers = model.answers(table.slice(700))
    assert answers.shape == (200, *task.shape)
    assert task.row_scores(y[700:], answers).mean() > 0.7
    assert len(model.answers(table.slice(0, 0))) == 0


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".tsv", ".feather", ".arrow", ".pq"])
def test_the_same_table_is_read_from_any_file(data, tmp_path, ending):
    table, path = pq.read_table(data), tmp_path / f"table{ending}"
    if ending in (".feather", ".arrow"):
        feather.write_feather(table, path)
    elif ending == ".pq":
        pq.write_table(table, path)
    else:
        options = csv.WriteOptions(delimiter="\t" if ending == ".tsv" else ",")
        with pa.output_stream(path, compression="gzip" if ending.endswith("gz") else None) as out:
            csv.write_csv(table, out, options)
    found = read(path)
    assert found.column_names == table.column_names
    assert found["x"].to_numpy().tolist() == table["x"].to_numpy().tolist()
    assert found["y"].to_pylist() == table["y"].to_pylist()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"--label": "z"}, "no column 'z'"),
        ({"--label": "x"}, "try --task regression"),
        ({"--data": "nowhere.parquet"}, "There is no file nowhere.parquet"),
        ({"--data": __file__}, "cannot be read as Parquet"),
        ({"--task": "regression"}, "regression needs numbers"),
        ({"--first": "1.5"}, "between 0 and 1"),
        ({"--json": "no/such/folder/out.json"}, "There is no folder"),
        ({"--json": "."}, "is a folder; name a file in it"),
        ({"--plot": "out.foo"}, "--plot draws .png"),
        ({"--max-rows": "-5"}, "--max-rows must be"),
        ({"--value-per-loss": "1"}, "both --value-per-loss and --cost-per-cpu-hour"),
        ({"--value-per-loss": "-1", "--cost-per-cpu-hour": "1"}, "value_per_loss must be above 0"),
        ({"--value-per-loss": "nan", "--cost-per-cpu-hour": "1"}, "value_per_loss takes a number"),
    ],
)
def test_what_cannot_be_played_is_one_sentence_and_exit_1(data, capsys, changed, said):
    arguments = {"--data": str(data), "--label": "y"} | changed
    assert main([part for pair in arguments.items() for part in pair]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_simulating_needs_neither_ray_nor_torch():
    code = "import sys, jobs.simulate; assert not {'ray', 'torch'} & set(sys.modules), 'imported'"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_defaults_of_the_policy_are_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for word in ("growth", "decay", "age", "cooldown", "follow-up", "2% of the rows"):
        assert word in shown
