"""False alarms, detection delay and cost of the monitor beside what others use: same streams, same run.

    make bench-monitoring                              (installs river beside the project, a few minutes of CPU)
    python -m benchmarks.monitoring [--quick] [--json OUT]

Detectors run with their defaults. Ours are the live monitor's state machine, told windows and matured cohorts.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.watching import costs, inputs, labels


def main() -> None:
    """Print one table a question; write them as JSON where asked."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="a tenth of the rows, to see that it runs")
    made.add_argument("--json", type=Path, help="write the numbers as JSON")
    options = made.parse_args()
    part = 10 if options.quick else 1
    found = {
        "labels: false alarms per 10^6 rows": labels.false_alarms(num_rows=200_000 // part),
        "labels: median rows to the alarm (share seen within 5,000 rows)": labels.delays(num_streams=20 // part),
        "inputs: false alarms per 10^6 rows": inputs.false_alarms(num_rows=200_000 // part),
        "inputs: median rows to the alarm (share seen within 20,000 rows)": inputs.delays(num_streams=10 // part or 1),
        "cost": costs.measure(num_rows=1_000_000 // part),
    }
    for title, rows in found.items():
        print(f"\n{title}")
        for name, values in rows.items():
            print(f"  {name:44}" + "".join(f"{_shown(value):>18}" for value in values.values()))
        print(f"  {'':44}" + "".join(f"{name:>18}" for name in next(iter(rows.values()))))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1))


def _shown(value: Any) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value}"


if __name__ == "__main__":
    main()
