"""False alarms, detection delay and cost of the monitor beside what others use: same streams, same run.

    make bench-monitoring                              (installs river beside the project, a few minutes of CPU)
    python -m benchmarks.monitoring [--quick] [--json OUT] [--only labels|certain|inputs|together|slices|walking|cost]

Detectors run with their defaults. Ours are the live monitor's state machine, told windows and matured cohorts.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.watching import certain, costs, inputs, joint, labels, late_labels, overhead, slices, walking
from benchmarks.watching.shown import lines


def main() -> None:
    """Print one table a question; write them as JSON where asked."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="a tenth of the rows, to see that it runs")
    made.add_argument("--json", type=Path, help="write the numbers as JSON")
    made.add_argument(
        "--only",
        choices=("labels", "certain", "inputs", "together", "slices", "walking", "cost"),
        help="this part alone",
    )
    options = made.parse_args()
    part = 10 if options.quick else 1
    asked: dict[str, Callable[[], dict[str, dict[str, Any]]]] = {
        "labels: false alarms per 10^6 rows": lambda: labels.false_alarms(num_rows=200_000 // part),
        "labels: median rows to the alarm (share seen within 5,000 rows)": lambda: labels.delays(
            num_streams=20 // part
        ),
        "certain: calm streams of 60 blocks that alarm; median blocks to the alarm": lambda: certain.measure(
            num_streams=200 // part
        ),
        "inputs: false alarms per 10^6 rows": lambda: inputs.false_alarms(num_rows=200_000 // part),
        "inputs: median rows to the alarm (share seen within 20,000 rows)": lambda: inputs.delays(
            num_streams=10 // part or 1
        ),
        "together: false alarms per 10^6 rows": lambda: joint.false_alarms(num_rows=100_000 // part),
        "together: median rows to the alarm (share seen within 20,000 rows)": lambda: joint.delays(
            num_streams=10 // part or 1
        ),
        "slices: false alarms per 10^6 rows": lambda: slices.false_alarms(num_rows=100_000 // part),
        "slices: median rows to the alarm (share seen within 20,000 rows)": lambda: slices.delays(
            num_streams=10 // part or 1
        ),
        "walking: streams of 60 windows that alarm though nothing changes": lambda: walking.false_alarms(
            num_streams=8 // part or 1
        ),
        "walking: median windows to the alarm (share seen within 60)": lambda: walking.delays(
            num_streams=8 // part or 1
        ),
        "cost": lambda: {
            **joint.cost(),
            **slices.cost(),
            **costs.measure(num_rows=1_000_000 // part),
            **late_labels.measure(num_rows=10_000_000 // part),
            **overhead.measure(),
        },
    }
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for title, measure in asked.items():
        if options.only is not None and not title.startswith(options.only):
            continue
        rows = found[title] = measure()
        print(f"\n{title}", *lines(rows), sep="\n")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
