"""Let the previous champion answer again.

Reads:  catalog: aliases
Writes: catalog: aliases, journal (through the steward); Serve's routing
"""

import argparse
import sys

from actors import handles
from jobs import _entry


def rollback(job: _entry.Job) -> _entry.Result:
    """The champion after the rollback."""
    champion = job.catalog.aliases(job.workload.name).get("champion")
    handles.steward(job.workload.name).rollback(job.by, champion)
    return {"champion": job.catalog.aliases(job.workload.name)["champion"]}


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    return _entry.parser(__doc__ or "")


if __name__ == "__main__":
    sys.exit(_entry.run(rollback, arguments()))
