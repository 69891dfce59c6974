"""The simulated loop on streams whose change is known: several seeds for each kind of change, together.

    python -m benchmarks.simulate_streams --out streams.jsonl --seeds 11 12 13 14 15

Each seed takes another of river's generators in turn. One line of JSON a stream, as `jobs.simulate --json` has it; a
stream that is in the file is not played again, so a run that is ended goes on. The table is made from all lines.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.drifting import GENERATORS, KINDS, drifting
from heliostat.simulate.comparison import compare
from heliostat.simulate.table import Roles, prepare
from jobs._simulation_learner import Trees
from jobs._simulation_text import as_json
from jobs._simulation_trees import one_thread

TURNS_LIMIT = 2.3  # the loop may take one turn for so many of the best schedule's
LEAST_GAIN = 0.01  # where the best schedule gains less, there is nothing to share
HEAD = "| change | streams | gain share | turns/limit | CPU/best | less even, points | less never, points | alarms |"


def play(generator: str, kind: str, *, seed: int, num_rows: int) -> dict[str, Any]:
    """All policies on one stream."""
    table = drifting(generator, kind, seed=seed, num_rows=num_rows)
    prepared = prepare(table, Roles(label="y"), first=0.2)
    stream = prepared.stream
    learner = Trees(stream.columns, task=stream.task)
    with one_thread():
        found = compare(stream, learner, clock=time.process_time, tell=lambda _: None)
    return {"generator": generator, "kind": kind, "seed": seed, **as_json(found, remarks=prepared.remarks)}


def rendered(played: Sequence[dict[str, Any]]) -> list[str]:
    """The table in Markdown: a line for each kind of change, means with 95% intervals over its streams."""
    kinds = list(dict.fromkeys(one["kind"] for one in played))
    lines = [HEAD, "|" + "---|" * HEAD.count("| ")]
    return lines + [_line(kind, [one for one in played if one["kind"] == kind]) for kind in kinds]


def _line(kind: str, played: Sequence[dict[str, Any]]) -> str:
    metric = played[0]["metric"]
    shares = [one["gain_share"] for one in played if one["best_gain"] >= LEAST_GAIN]
    limits = [one["turns"][one["best_schedule"]] / TURNS_LIMIT for one in played]
    costs = [one["cpu_s"]["loop"] / one["cpu_s"][one["best_schedule"]] for one in played]
    turns = [one["turns"]["loop"] for one in played]
    within = sum(turn <= limit for turn, limit in zip(turns, limits, strict=True))
    less_even = [100 * one["loop_less_even"][metric]["mean"] for one in played]
    less_never = [100 * one["loop_less_never"][metric]["mean"] for one in played]
    cells = [
        kind,
        str(len(played)),
        f"{_interval([100 * share for share in shares], '.0f')}% of {len(shares)}" if shares else "none",
        f"{np.mean(turns):.1f}/{np.mean(limits):.1f}, {within} within",
        f"{_interval(costs, '.2f')}, {sum(cost <= 1 for cost in costs)} at most 1",
        _interval(less_even, "+.1f"),
        f"{_interval(less_never, '+.1f')}, lowest {min(less_never):+.1f}",
        " ".join(str(one["alarms"]) for one in played),
    ]
    return "| " + " | ".join(cells) + " |"


def _interval(values: Sequence[float], form: str) -> str:
    """The mean, and Student's 95% interval of it where there is more than one value."""
    mean = format(float(np.mean(values)), form)
    if len(values) < 2:
        return mean
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return f"{mean} ± {format(half, form.lstrip('+'))}"


def main(argv: Sequence[str] | None = None) -> int:
    """Play what is not played yet, and print the table."""
    options = _arguments().parse_args(argv)
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    played = [json.loads(line) for line in lines]
    known = {(one["generator"], one["kind"], one["seed"]) for one in played}
    for seed in options.seeds:
        for kind in options.kinds:
            generator = GENERATORS[(seed + options.offset) % len(GENERATORS)]
            if (generator, kind, seed) in known:
                continue
            played.append(play(generator, kind, seed=seed, num_rows=options.rows))
            with options.out.open("a") as file:
                file.write(json.dumps(played[-1]) + "\n")
            print(f"{generator} {kind} {seed} is played", file=sys.stderr, flush=True)
    print("\n".join(rendered(played)))
    return 0


def _arguments() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, required=True, help="one line of JSON a stream")
    made.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15])
    made.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    made.add_argument("--rows", type=int, default=10_000)
    made.add_argument("--offset", type=int, default=0, help="another generator for each seed")
    return made


if __name__ == "__main__":
    sys.exit(main())
