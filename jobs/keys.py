"""List, make or revoke the API keys of a workload; a new key goes to a file, never to the log.

Reads:  catalog: keys
Writes: catalog: keys, journal; Serve's routing; the file of a new key
"""

import argparse
import sys
from datetime import UTC, datetime

from actors import handles
from heliostat.govern.roles import Role
from heliostat.records import KeyTerms
from jobs import _entry, _local_keys


def keys(job: _entry.Job) -> _entry.Result:
    """The keys that count after what was asked for."""
    options, name = job.options, job.workload.name
    done: _entry.Result = {}
    if options.create is not None:
        terms = KeyTerms(
            requests_per_s=options.requests_per_s, burst_requests=options.burst_requests, may_label=options.may_label
        )
        workload = None if options.all_workloads else name
        key = handles.publisher().issue_key(
            options.create, options.role, workload=workload, terms=terms, by=job.by, at=datetime.now(UTC)
        )
        done = {"file": str(_local_keys.keep(job.settings, key.split("_")[1], key))}
    if options.revoke is not None:
        handles.publisher().withdraw_key(options.revoke, by=job.by, at=datetime.now(UTC))
    records = job.catalog.keys()
    counting = [record.to_json() for record in records if record.workload in (None, name)]
    return {**done, "keys": [{what: value for what, value in one.items() if what != "hash"} for one in counting]}


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return text == "yes"


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    what = made.add_mutually_exclusive_group()
    what.add_argument("--create", metavar="NAME", help="make a key of that name")
    what.add_argument("--revoke", metavar="ID", help="revoke the key with that id")
    made.add_argument("--role", choices=[str(role) for role in Role], default="caller", help="(default: %(default)s)")
    made.add_argument("--requests-per-s", type=float, help="its own limit over all replicas (default: the workload's)")
    made.add_argument("--burst-requests", type=int, help="how many at once (default: a second's worth)")
    made.add_argument(
        "--may-label", type=_yes_or_no, metavar="yes|no", help="may it send labels (default: as its role)"
    )
    made.add_argument("--all-workloads", action="store_true", help="it counts for every workload, not only this one")
    return made


if __name__ == "__main__":
    sys.exit(_entry.run(keys, arguments()))
