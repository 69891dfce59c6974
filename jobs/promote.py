"""Judge a version and make it the champion if every gate holds; else say why not.

Reads:  lake: raw, predictions, labels; catalog: versions, aliases
Writes: catalog: aliases, journal (through the steward); Serve's routing
"""

import argparse
import sys

from actors import handles
from jobs import _entry
from jobs.evaluate import arguments as evaluate_arguments
from jobs.evaluate import evaluate


def promote(job: _entry.Job) -> _entry.Result:
    """The judgement, with the champion as it is now."""
    judged = evaluate(job)
    if judged["verdict"] == "promote":
        handles.steward(job.workload.name).promote(
            judged["version"],
            job.by,
            reasons=judged["reasons"],
            inputs={name: judged[name] for name in ("scores", "constant", "holdout_rows", "inputs")},
            clock=job.options.as_of,
        )
    return judged | {"champion": job.catalog.aliases(job.workload.name).get("champion")}


def arguments() -> argparse.ArgumentParser:
    """The options of this job: those of `jobs.evaluate`."""
    return evaluate_arguments()


if __name__ == "__main__":
    sys.exit(_entry.run(promote, arguments()))
