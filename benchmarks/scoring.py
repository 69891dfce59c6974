"""Rows a second of jobs.score, beside a plain loop and bare Ray Data with the same network, on one local cluster.

    python -m benchmarks.scoring [--rows 500000] [--base-port 24000]

All three read the same Parquet file and write answers as Parquet. The plain loop is one process with the same bundle;
bare Ray Data has pandas batches and the network alone: no contract, no ids, no inputs in its answers, no commit.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data
from ray.data import ActorPoolStrategy

from actors import handles, start
from benchmarks.mlp import NAMES, workload
from benchmarks.network import network, probabilities
from benchmarks.publish import fitted
from cluster import local, submit
from cluster.connect import connect
from heliostat.learn import bundle
from heliostat.settings import Settings
from heliostat.store.bundles import write_bundle

BATCH_ROWS = 8192
ROUNDS = 3
ROOT = Path(__file__).resolve().parents[1]


class Bare:
    """The network on a batch of pandas, as a page of documentation would show it."""

    def __init__(self) -> None:
        self._layers = network()

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        inputs = batch[list(NAMES)].to_numpy(dtype=np.float32)
        return pd.DataFrame({"question": batch["question"], "probability": probabilities(self._layers, inputs)})


def plain_loop(source: Path, target: Path) -> None:
    """One process: the bundle's model, the contract's preparation, batch after batch."""
    model = bundle.served(workload, fitted(workload))
    model.warm()
    writer = None
    for batch in pq.ParquetFile(source).iter_batches(batch_size=BATCH_ROWS):
        table = pa.table(batch)
        answers = pa.table({"question": table["question"], "probability": model.answers(table)})
        writer = writer or pq.ParquetWriter(target, answers.schema)
        writer.write_table(answers)
    if writer is not None:
        writer.close()


def bare_ray_data(source: Path, target: Path) -> None:
    """Ray Data as it comes: as many actors as jobs.score uses."""
    answers = ray.data.read_parquet(str(source)).map_batches(
        Bare, compute=ActorPoolStrategy(size=1), batch_format="pandas", batch_size=BATCH_ROWS, num_cpus=0.5
    )
    answers.write_parquet(str(target))


def main() -> None:
    """Prints a row for each, the median of the rounds; they take turns, so that a busy machine slows all."""
    options = _arguments()
    home = Path(tempfile.mkdtemp(prefix="heliostat-scoring-"))
    settings = Settings(home=home, base_port=options.base_port)
    source = _source(home, options.rows)
    local.start(settings)
    try:
        _prepare(settings)
        rates: dict[str, list[float]] = {}
        for number in range(ROUNDS + 1):  # the first warms up: processes, caches
            for name, made in _contenders(source, home / f"out-{number}").items():
                started_s = time.perf_counter()
                inside = made()
                elapsed_s = inside or time.perf_counter() - started_s
                if number:
                    rates.setdefault(name, []).append(options.rows / elapsed_s)
        for name, found in rates.items():
            print(f"| {name} | {statistics.median(found):,.0f} | {min(found):,.0f} to {max(found):,.0f} |", flush=True)
    finally:
        ray.shutdown()
        local.stop(settings)
        shutil.rmtree(home)


def _contenders(source: Path, target: Path) -> dict[str, Callable[[], float | None]]:
    def ours(*options: str) -> float:
        output = f"{target}-ours-{len(options)}"
        found = _job("score", "--input", str(source), "--output", output, "--version", "1", *options)
        assert found["rejected"] == 0
        return float(found["rows"] / found["rows_per_s"])

    return {
        "plain loop": lambda: plain_loop(source, target.with_suffix(".loop.parquet")),
        "bare Ray Data": lambda: bare_ray_data(source, target.with_suffix(".bare")),
        "jobs.score": ours,
        "jobs.score --without-inputs": lambda: ours("--without-inputs"),
    }


def _job(verb: str, *options: str) -> dict:
    """A job beside the cluster, as a person types it."""
    # It finds the cluster as this process did: `connect` has set the environment that children inherit.
    done = subprocess.run(
        [sys.executable, "-m", f"jobs.{verb}", "benchmarks.mlp", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"error: jobs.{verb} failed: {done.stdout[-2000:]}{done.stderr[-3000:]}")
    return submit.result(done.stdout)


def _prepare(settings: Settings) -> None:
    """A catalog with one version; nothing is served."""
    connect(settings)
    start.catalog(settings, revision="benchmark")
    now = datetime.now(UTC)
    files = bundle.to_files("benchmarks.mlp", fitted(workload), profile={}, lineage={"run": "benchmark"})
    written = write_bundle(settings.bundles_uri, files)
    handles.catalog().register(
        workload.name,
        run_id="benchmark",
        candidate="fixed",
        kind="network",
        bundle_uri=written.uri,
        bundle_hash=written.hash,
        lineage={},
        scores={},
        by="admin",
        at=now,
    )


def _source(home: Path, num_rows: int) -> Path:
    inputs = np.random.default_rng(1).standard_normal((len(NAMES), num_rows))
    columns = {"question": [f"q{row}" for row in range(num_rows)], **dict(zip(NAMES, inputs, strict=True))}
    pq.write_table(pa.table(columns), home / "in.parquet", row_group_size=100_000)
    return home / "in.parquet"


def _arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rows", type=int, default=500_000)
    made.add_argument("--base-port", type=int, default=24_000)
    return made.parse_args()


if __name__ == "__main__":
    main()
