"""One run of jobs.train's trainer on a cluster that is there, without the catalog: `... RUN.json RUNS_DIR`.

Each worker takes a CPU, so that no two are on one node of `nodes`, and a new size is looked for often.
"""

import json
import sys
from dataclasses import replace
from datetime import datetime

import ray

from cluster import resources
from heliostat.workload import load
from jobs import _staging
from jobs._fit_run import FitRun
from jobs.train import ROWS_DIR, FitFailedError, fitted_by, trainer


def main(given: str, runs_dir: str) -> int:
    values = json.loads(given)
    run = FitRun(**{**values, "as_of": datetime.fromisoformat(values["as_of"])})
    resources.TRAIN_CPUS_PER_WORKER = 1.0
    resources.TRAIN_RESIZE_INTERVAL_S = 5.0
    ray.init()
    training = load(run.module).training
    if training.stream:
        run = replace(run, rows_dir=f"{runs_dir}/{ROWS_DIR}/{run.run_id}")
        _staging.stage(run, load(run.module))
    try:
        fitted, _ = fitted_by(
            trainer(run, training, runs_dir=runs_dir, num_gpus=0), run_id=run.run_id, runs_dir=runs_dir
        )
    except FitFailedError as error:
        print(f"error: {error}", flush=True)
        return 1
    print(json.dumps(fitted, default=str), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
