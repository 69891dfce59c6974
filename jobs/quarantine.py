"""Whose labels are not learned from: shows what the screen of labels shut out, releases it, or keeps a source out.

Reads:  catalog: journal
Writes: catalog: journal

Without an option it changes nothing. `--release` makes what a source told count again, within `--since` and `--until`;
the screen does not suspect those windows a second time. `--keep-out` leaves out what a source told from `--since` on,
until it is released. Both hold from the next training on, and for a trial that runs; versions that were trained stay
as they are.

Shown, too, are the last windows in which a source contradicted sure answers and was not shut out: where no other source
tells labels, nobody can say whether they are wrong or the world has changed.
"""

import argparse
import sys
from datetime import UTC, datetime

from actors.shut_out import decided
from heliostat.errors import WorkloadError
from heliostat.govern.quarantine import BEGINNING, EVER, KEPT_OUT, RELEASED, SUSPECTED, quarantined
from jobs import _entry

NUM_SHOWN = 10


def quarantine(job: _entry.Job) -> _entry.Result:
    """The spans that hold afterwards."""
    options = job.options
    since, until = options.since or BEGINNING, options.until or EVER
    if since >= until:
        raise WorkloadError(f"--since {since} is not before --until {until}; give a span of time.")
    before = quarantined(decided(job.catalog, job.workload.name))
    if options.release is not None and not any(span.source == options.release for span in before):
        known = ", ".join(sorted({span.source for span in before})) or "nobody"
        raise WorkloadError(f"Labels of {options.release!r} are not shut out, those of {known} are; name one of them.")
    for kind, source, what in (
        (RELEASED, options.release, "released"),
        (KEPT_OUT, options.keep_out, "kept out"),
    ):
        if source is not None:
            reason = f"{what} by {job.by}" + (f": {options.why}" if options.why else "")
            payload = {"source": source, "since": since.isoformat(), "until": until.isoformat(), "reason": reason}
            job.catalog.append(kind, job.workload.name, payload, by=job.by, at=datetime.now(UTC))
    spans = quarantined(decided(job.catalog, job.workload.name))
    for span in spans:
        end = "on" if span.until == EVER else f"to {span.until:%Y-%m-%d %H:%M}"
        print(f"{span.source}: from {span.since:%Y-%m-%d %H:%M} {end}: {span.why}", flush=True)
    if not spans:
        print("no labels are shut out", flush=True)
    for _, payload in [one for one in decided(job.catalog, job.workload.name) if one[0] == SUSPECTED][-NUM_SHOWN:]:
        if not payload["is_shut_out"]:
            print(f"told, not shut out: {payload['reason']}", flush=True)
    return {"workload": job.workload.name, "shut_out": [span.to_json() for span in spans]}


def arguments() -> argparse.ArgumentParser:
    """The options of this job."""
    made = _entry.parser(__doc__ or "")
    one = made.add_mutually_exclusive_group()
    one.add_argument("--release", metavar="SOURCE", help="learn from its labels again")
    one.add_argument("--keep-out", metavar="SOURCE", help="learn from its labels no more")
    made.add_argument("--since", type=_entry.instant, help="labels that arrived from then on (default: all)")
    made.add_argument("--until", type=_entry.instant, help="labels that arrived before (default: all)")
    made.add_argument("--why", default="", help="for the journal")
    return made


if __name__ == "__main__":
    sys.exit(_entry.run(quarantine, arguments()))
