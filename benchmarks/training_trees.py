"""CPU-seconds of a fit of trees: in one go, in portions that draw anew, and with a checkpoint of each portion written.

    python -m benchmarks.training_trees [--rows 2000 20000] [--times 5]

Rows of the toy; the three ways in turn, in one process on one thread; every fit has all its rounds. In a run a
checkpoint is written at most once a second, so what one of each portion costs is the most that it can.
"""

import argparse
import statistics
import time
from dataclasses import replace

from heliostat import Trees
from heliostat.learn import boosting
from heliostat.learn.fit_trees import fit_trees
from heliostat.learn.rows import split_by_time
from heliostat.learn.state import FitState
from tests.toy import MONTHS, workload
from tests.toy_rows import labelled_rows

ROUNDS = 1000
TREES = Trees(rounds=ROUNDS, patience=ROUNDS)


def fit_cpu_s(num_rows: int, *, portion_rounds: int, is_kept: bool) -> float:
    """The CPU-seconds of one fit."""
    rows = labelled_rows(*MONTHS, rows_per_part=-(-num_rows // len(MONTHS)))
    boosting.PORTION_ROUNDS = portion_rounds
    num_bytes = 0

    def keep(state: FitState) -> None:
        nonlocal num_bytes
        num_bytes += len(state.to_bytes())

    began_s = time.process_time()
    fit_trees(
        replace(workload, trees=TREES), *split_by_time(rows, share=0.2), seed=1, on_epoch=keep if is_kept else None
    )
    return time.process_time() - began_s


def main() -> None:
    """A line for each number of rows: the median of each way, and what it takes more than one go (median of pairs)."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rows", type=int, nargs="+", default=[2000, 20_000])
    made.add_argument("--times", type=int, default=5)
    given = made.parse_args()
    portion = boosting.PORTION_ROUNDS
    ways = {
        "one go": {"portion_rounds": ROUNDS + 1, "is_kept": False},
        "portions": {"portion_rounds": portion, "is_kept": False},
        "each kept": {"portion_rounds": portion, "is_kept": True},
    }
    fit_cpu_s(500, portion_rounds=portion, is_kept=True)  # imports
    for num_rows in given.rows:
        turns = [{name: fit_cpu_s(num_rows, **way) for name, way in ways.items()} for _ in range(given.times)]
        told = []
        for name in ways:
            more = statistics.median(turn[name] / turn["one go"] - 1 for turn in turns)
            told.append(f"{name} {statistics.median(turn[name] for turn in turns):.2f} s ({more:+.1%})")
        print(f"{num_rows:,} rows: {', '.join(told)}", flush=True)


if __name__ == "__main__":
    main()
