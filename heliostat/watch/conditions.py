"""Whether a trigger's condition holds on what the monitor has seen since the champion came."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from heliostat.triggers import Age, Decay, Drift, Growth, Slack
from heliostat.watch.calm import MIN_WINDOW_ROWS
from heliostat.watch.decay import Watched, watched, wealth_limit
from heliostat.watch.detector import aligned, surely_moved
from heliostat.watch.events import ChampionChanged, CohortMatured, CohortScore, ReferenceScore, WindowClosed
from heliostat.watch.profile import NOT_INPUTS

MIN_COVERAGE = 0.5  # with fewer labels the labelled rows may be of another kind than the rest


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A trigger's condition that holds: the reason in one sentence, since when, and the numbers."""

    reason: str
    onset_at: datetime
    evidence: Mapping[str, Any]


def drifting(trigger: Drift, windows: Sequence[WindowClosed]) -> Condition | None:
    """The condition of the column with the longest run of drifting windows up to the newest, if long enough.

    Only columns that surely moved count, by the e-detector over all windows and e-d-BH over all columns. Windows are
    given in time order. One with few rows says nothing: it neither lengthens nor breaks a run.
    """
    told = [window for window in windows if window.num_rows >= MIN_WINDOW_ROWS]
    if not told:
        return None
    names = [name for name in told[-1].drift_by_column if name not in NOT_INPUTS]
    evidence = {
        name: aligned([one.drift_by_column[name].log_evidence for one in told if name in one.drift_by_column])
        for name in names
    }
    moved = surely_moved(evidence, run_length=trigger.run_length)
    run_by_column = {name: _run(trigger, told, column=name) for name in sorted(moved)}
    drifted = {name: run for name, run in run_by_column.items() if len(run) >= trigger.windows}
    if not drifted:
        return None
    first = max(drifted, key=lambda name: len(drifted[name]))
    excess = {name: round(told[-1].drift_by_column[name].effect, 4) for name in drifted}
    return Condition(
        reason=f"{first} drifted: index {excess[first]} beyond calm, limit {trigger.psi}, "
        f"{len(drifted[first])} windows in a row ({len(drifted)} columns in all)",
        onset_at=drifted[first][0].since,
        evidence={"trigger": "drift", "excess_psi_by_column": excess, "num_windows": len(drifted[first])},
    )


def _run(trigger: Drift, windows: Sequence[WindowClosed], *, column: str) -> list[WindowClosed]:
    """The newest windows in a row in which the column exceeds the limit, in time order."""
    run: list[WindowClosed] = []
    for window in reversed(windows):
        found = window.drift_by_column.get(column)
        if found is None or found.effect <= trigger.psi:
            break
        run.append(window)
    return run[::-1]


def decaying(
    trigger: Decay | Slack, cohorts: Sequence[CohortMatured], *, champion: ChampionChanged
) -> Condition | None:
    """The condition that the champion's matured score left its reference behind, by the e-detector's limit.

    For `Slack` it is better than the answers expected, else worse. Unlabelled rows are not errors; a cohort with few
    labels says nothing.
    """
    reference = champion.reference_by_metric.get(trigger.metric.name)
    scored = scored_cohorts(trigger, cohorts, version=champion.version)
    if reference is None or not scored:
        return None
    found = watched(trigger, [score for _, score in scored], reference=reference)
    if found.num_rows_since < trigger.min_rows or found.detected.log_value < wealth_limit(trigger):
        return None
    onset_at = scored[found.detected.onset][0].since
    side = "better" if isinstance(trigger, Slack) else "worse"
    return Condition(
        reason=f"{trigger.metric} {side} by {found.excess_since:.4f} than on the hold-out ({reference.score:.4f}), "
        f"on {found.num_rows_since:,} rows matured since {onset_at:%Y-%m-%d}; margin {trigger.margin}, evidence "
        f"e^{found.detected.log_value:.1f} of e^{wealth_limit(trigger):.1f}",
        onset_at=onset_at,
        evidence=_evidence(trigger, found, reference=reference, num_cohorts=len(scored)),
    )


def scored_cohorts(
    trigger: Decay | Slack, cohorts: Sequence[CohortMatured], *, version: int
) -> list[tuple[CohortMatured, CohortScore]]:
    """The cohorts that say something about the version's quality, in the order given."""
    found = [(one, one.score_by_version[version]) for one in cohorts if version in one.score_by_version]
    return [
        (one, score)
        for one, score in found
        if score.num_labelled
        and score.coverage >= MIN_COVERAGE
        and math.isfinite(score.score_by_metric.get(trigger.metric.name, math.nan))
    ]


def _evidence(trigger: Decay | Slack, found: Watched, *, reference: ReferenceScore, num_cohorts: int) -> dict[str, Any]:
    return {
        "trigger": "slack" if isinstance(trigger, Slack) else "decay",
        "metric": trigger.metric.name,
        "excess": found.excess_since,
        "tolerated": found.tolerated,
        "log_evidence": found.detected.log_value,
        "run_length": trigger.run_length,
        "num_rows": found.num_rows_since,
        "num_cohorts": num_cohorts,
        "reference": reference.score,
        "margin": trigger.margin,
    }


def aged(trigger: Age, at: datetime, *, champion: ChampionChanged) -> Condition | None:
    """The condition that the champion's training rows end longer ago than the limit."""
    age = at - champion.trained_until
    if age <= trigger.limit:
        return None
    return Condition(
        reason=f"the champion's training rows end {age.days} days ago, limit {trigger.limit.days} days",
        onset_at=champion.trained_until + trigger.limit,
        evidence={"trigger": "age", "trained_until": champion.trained_until.isoformat()},
    )


def grown(
    trigger: Growth, cohorts: Sequence[CohortMatured], *, champion: ChampionChanged, num_before: int = 0
) -> Condition | None:
    """The condition that labelled rows since the champion came are a share of those that it was trained on.

    `num_before` are those of cohorts that are remembered no more.
    """
    num_new = num_before + sum(score.num_labelled for one in cohorts for score in one.score_by_version.values())
    if not champion.num_training_rows or num_new < trigger.after(has_won=champion.has_won) * champion.num_training_rows:
        return None
    share = num_new / champion.num_training_rows
    return Condition(
        reason=f"{num_new:,} labelled rows are new, {share:.0%} of the {champion.num_training_rows:,} trained on",
        onset_at=cohorts[-1].until,
        evidence={"trigger": "growth", "num_new": num_new, "num_training_rows": champion.num_training_rows},
    )
