"""What a candidate goes on from: the champion of its run, where it can be gone on from."""

import json

from heliostat.govern.quarantine import may_have_taught
from heliostat.learn import source_code
from heliostat.learn.start import Start
from heliostat.store.bundles import read_bundle
from heliostat.workload import Workload
from jobs._contest import Version
from jobs._fit_run import FitRun


def started_from(run: FitRun, workload: Workload) -> Start | None:
    """The champion to go on from, where that is declared and the workload's source is still what it learned with."""
    if not workload.training.warm_start or run.champion is None:
        return None
    champion = Version(**run.champion)
    files = read_bundle(champion.bundle_uri, champion.bundle_hash)
    if may_have_taught(run.shut_out, json.loads(files["lineage.json"])):
        print(f"no candidate goes on from version {champion.number}: it learned from labels now shut out", flush=True)
        return None
    start = Start.of(files, source_digest=source_code.collect(run.module).digest)
    if start is None:
        print(f"no candidate goes on from version {champion.number}: the workload's source has changed", flush=True)
    return start
