"""Fitting and loading in processes of their own; here, because each of them imports torch anew."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file

from heliostat.columns import normalise
from heliostat.learn.bundle import ServedModel, to_files
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from tests.toy import workload
from tests.toy_rows import labelled_rows, lake_rows

QUICK = replace(workload, training=replace(workload.training, epochs=3))
ROOT = Path(__file__).parents[2]

RANK = """
import sys
from dataclasses import replace
import torch, torch.distributed as dist
from safetensors.torch import save_file
from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from tests.toy import workload
from tests.toy_rows import labelled_rows
torch.set_num_threads(1)
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
quick = replace(workload, training=replace(workload.training, epochs=3))
parts = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)
fitted = fit(quick, *parts, seed=1)
save_file(dict(fitted.weights), f"{folder}/{rank}.safetensors")
print([scores.train_loss for scores in fitted.history])
dist.destroy_process_group()
"""


def test_two_workers_fit_the_network_that_one_fits(tmp_path):
    command = [sys.executable, "-c", RANK]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([*command, str(rank), str(tmp_path)], env=environment, cwd=ROOT, stdout=subprocess.PIPE)
        for rank in range(2)
    ]
    printed = [rank.communicate(timeout=240)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    assert printed[0] == printed[1]
    assert all(torch.equal(first[name], second[name]) for name in first)
    parts = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)
    alone = fit(QUICK, *parts, seed=1).weights
    # Not to the last bit: a sum over two halves rounds in another way than the sum over the whole.
    assert all(torch.allclose(first[name], alone[name], atol=1e-3) for name in alone)


FAULTY = RANK.replace(
    "fitted = fit(quick, *parts, seed=1)",
    """
def encode(batch):
    if dist.get_rank() == 1:
        raise ValueError("no such load")
    return workload.encode(batch)
encode.__module__ = "__main__"
try:
    fit(replace(quick, encode=encode), *parts, seed=1)
except Exception as error:
    print(type(error).__name__, str(error)[:60], flush=True)
    sys.exit(7)
""",
)


def test_a_fault_of_one_workers_rows_ends_both_and_only_that_one_is_told_it(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FAULTY]
    ranks = [
        subprocess.Popen([*command, str(rank), str(tmp_path)], env=environment, cwd=ROOT, stdout=subprocess.PIPE)
        for rank in range(2)
    ]
    printed = [rank.communicate(timeout=240)[0].decode() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [7, 7]
    assert printed[1].startswith("StepFaultError encode failed with ValueError: no such load")
    assert printed[0].startswith("RuntimeError")


FRESH = """
import sys
from pathlib import Path
import pyarrow as pa
from heliostat.learn.bundle import ServedModel
folder = Path("bundle")
files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
model = ServedModel.load(files)
with pa.ipc.open_file("rows.arrow") as reader:
    answers = model.answers(reader.read_all())
assert not any(name.split(".")[0] in ("tests", "workloads") for name in sys.modules), "found on the path"
print([float(answer) for answer in answers])
"""


def test_a_bundle_loads_in_a_fresh_process_without_the_workload_on_the_path(tmp_path):
    parts = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=300), share=0.2)
    files = to_files("tests.toy", fit(QUICK, *parts, seed=1), profile={}, lineage={})
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "heliostat").symlink_to(ROOT / "heliostat")
    for path, content in files.items():
        (tmp_path / "bundle" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundle" / path).write_bytes(content)
    rows = normalise(lake_rows("2024-04", rows_per_part=20), workload.columns)
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "path"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", FRESH], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), ServedModel.load(files).answers(rows), atol=1e-6)
