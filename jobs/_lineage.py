"""What a version came from, as it stands in its bundle and in the catalog."""

from collections.abc import Mapping
from typing import Any

from heliostat.learn import bundle
from heliostat.learn.fit import Fitted
from heliostat.learn.start import Start
from jobs._fit_run import FitRun
from jobs._windows import Parts

CUT = "ended_by_fit_time"


def lineage_of(run: FitRun, fitted: Fitted, chosen: Parts, *, name: str, start: Start | None) -> dict[str, Any]:
    """All that made a version: its run, rows, settings, code, and the version that it went on from."""
    return {
        "run": run.run_id,
        "candidate": name,
        "as_of": run.as_of.isoformat(),
        "snapshot": dict(run.tables),
        "inputs": {name: [dict(version) for version in versions] for name, versions in run.inputs.items()},
        "code_revision": run.code_revision,
        "seed": fitted.seed,
        "num_rows": fitted.num_rows,
        "num_validation_rows": fitted.num_validation_rows,
        "first_event_at": fitted.first_event_at.isoformat(),
        "last_event_at": fitted.last_event_at.isoformat(),
        "holdout_since": chosen.holdout_since.isoformat(),
        **bundle.described_constant(fitted.constant),
        **({CUT: True} if fitted.is_cut else {}),
        **({"shut_out": [dict(span) for span in run.shut_out]} if run.shut_out else {}),
        **({"configuration": dict(run.configuration)} if run.configuration else {}),
        **({} if start is None or run.champion is None else _gone_on_from(run.champion, start)),
        **({"tuned_by": dict(run.tuned_by)} if run.tuned_by else {}),
    }


def _gone_on_from(champion: Mapping[str, Any], start: Start) -> dict[str, int]:
    return {"goes_on_from": int(champion["number"]), "num_rows_before": start.num_rows}
