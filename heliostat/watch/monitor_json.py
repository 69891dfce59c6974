"""How the monitor's memory is stored: plain JSON values, numbers bit for bit, NaN as null."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from heliostat.tasks.expected import Expected
from heliostat.watch import groups, reliability
from heliostat.watch.drift import ColumnDrift
from heliostat.watch.events import ChampionChanged, CohortMatured, CohortScore, ReferenceScore, WindowClosed
from heliostat.watch.together import Dependence
from heliostat.watch.within import SliceDrifts


def window_to_json(window: WindowClosed) -> dict[str, Any]:
    """Plain values of a window."""
    return {
        "since": window.since.isoformat(),
        "until": window.until.isoformat(),
        "version": window.version,
        "num_rows": window.num_rows,
        "drift_by_column": {name: _drift_to_json(one) for name, one in window.drift_by_column.items()},
        "estimated_by_metric": _scores_to_json(window.estimated_by_metric),
        "num_answered": window.num_answered,
        **({} if window.together is None else {"together": _together_to_json(window.together)}),
        **({} if window.within is None else {"within": _within_to_json(window.within)}),
    }


def window_from_json(value: Mapping[str, Any]) -> WindowClosed:
    """The window that `window_to_json` wrote."""
    return WindowClosed(
        since=datetime.fromisoformat(value["since"]),
        until=datetime.fromisoformat(value["until"]),
        version=value["version"],
        num_rows=value["num_rows"],
        drift_by_column={name: _drift_from_json(one) for name, one in value["drift_by_column"].items()},
        estimated_by_metric=_scores_from_json(value.get("estimated_by_metric", {})),  # lacking before 0.2
        num_answered=value.get("num_answered", 0),
        together=_together_from_json(value["together"]) if "together" in value else None,
        within=_within_from_json(value["within"]) if "within" in value else None,
    )


def _together_to_json(told: Dependence) -> list[list[Any]]:
    return [list(told.columns), list(told.log_evidence), list(told.changes)]


def _together_from_json(value: Sequence[Sequence[Any]]) -> Dependence:
    columns, log_evidence, changes = map(tuple, value)
    return Dependence(columns=columns, log_evidence=log_evidence, changes=changes)


def _within_to_json(told: SliceDrifts) -> list[list[Any]]:
    slices = [list(one) for one in told.slices]
    return [slices, list(told.columns), list(told.num_rows), list(told.log_evidence), list(told.effects)]


def _within_from_json(value: Sequence[Sequence[Any]]) -> SliceDrifts:
    slices, columns, num_rows, log_evidence, effects = map(tuple, value)
    return SliceDrifts(
        slices=tuple((column, group) for column, group in slices),
        columns=columns,
        num_rows=num_rows,
        log_evidence=log_evidence,
        effects=effects,
    )


def _drift_to_json(drift: ColumnDrift) -> list[Any]:
    # JSON has no infinity
    evidence = list(drift.log_evidence) if all(map(math.isfinite, drift.log_evidence)) else None
    return [drift.psi, drift.floor, evidence, drift.missing, drift.unseen, drift.began_to_vary]


def _drift_from_json(value: Sequence[Any]) -> ColumnDrift:
    """The earlier forms without evidence, with one number for all bets, and without shares are read too."""
    psi, floor, *more = value
    later: list[Any] = [*more, *(None, 0.0, None, False)[len(more) :]]
    evidence, missing, unseen, began_to_vary = later
    if not isinstance(evidence, list):
        evidence = [math.inf if evidence is None else evidence]
    return ColumnDrift(
        psi=psi,
        floor=floor,
        log_evidence=tuple(evidence),
        missing=missing,
        unseen=unseen,
        began_to_vary=began_to_vary,
    )


def cohort_to_json(cohort: CohortMatured) -> dict[str, Any]:
    """Plain values of a cohort."""
    return {
        "since": cohort.since.isoformat(),
        "until": cohort.until.isoformat(),
        "score_by_version": {str(version): _score_to_json(one) for version, one in cohort.score_by_version.items()},
    }


def _score_to_json(score: CohortScore) -> dict[str, Any]:
    return {
        "num_predictions": score.num_predictions,
        "num_labelled": score.num_labelled,
        "score_by_metric": _scores_to_json(score.score_by_metric),
        "expected": expected_to_json(score.expected),
        "estimated_by_metric": _scores_to_json(score.estimated_by_metric),
        "reliability": reliability.to_json(score.reliability),
        "groups": groups.to_json(score.groups),
        "label_delay_s": dict(score.label_delay_s),
    }


def cohort_from_json(value: Mapping[str, Any]) -> CohortMatured:
    """The cohort that `cohort_to_json` wrote."""
    return CohortMatured(
        since=datetime.fromisoformat(value["since"]),
        until=datetime.fromisoformat(value["until"]),
        score_by_version={int(version): _score_from_json(one) for version, one in value["score_by_version"].items()},
    )


def _score_from_json(value: Mapping[str, Any]) -> CohortScore:
    return CohortScore(
        num_predictions=value["num_predictions"],
        num_labelled=value["num_labelled"],
        score_by_metric=_scores_from_json(value["score_by_metric"]),
        expected=expected_from_json(value.get("expected")),  # states stored before 0.2 lack it and what follows
        estimated_by_metric=_scores_from_json(value.get("estimated_by_metric", {})),
        reliability=reliability.from_json(value.get("reliability", ())),
        groups=groups.from_json(value.get("groups", {})),
        label_delay_s=dict(value.get("label_delay_s", {})),
    )


def _scores_to_json(scores: Mapping[str, float]) -> dict[str, float | None]:
    # JSON has no NaN, and databases refuse it
    return {name: None if math.isnan(score) else score for name, score in scores.items()}


def _scores_from_json(value: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if score is None else score for name, score in value.items()}


def expected_to_json(expected: Expected | None) -> list[Any] | None:
    """Plain values of an expectation."""
    if expected is None:
        return None
    return [expected.loss, expected.variance, list(expected.moments), list(expected.slack_moments)]


def expected_from_json(value: Sequence[Any] | None) -> Expected | None:
    """The expectation that `expected_to_json` wrote."""
    if value is None:
        return None
    loss, variance, moments, slack_moments = value
    return Expected(loss=loss, variance=variance, moments=tuple(moments), slack_moments=tuple(slack_moments))


def champion_to_json(champion: ChampionChanged) -> dict[str, Any]:
    """Plain values of the watched version."""
    return {
        "at": champion.at.isoformat(),
        "version": champion.version,
        "trained_until": champion.trained_until.isoformat(),
        "num_training_rows": champion.num_training_rows,
        "reference_by_metric": {name: reference_to_json(one) for name, one in champion.reference_by_metric.items()},
        "has_won": champion.has_won,
    }


def champion_from_json(value: Mapping[str, Any]) -> ChampionChanged:
    """The watched version that `champion_to_json` wrote."""
    return ChampionChanged(
        at=datetime.fromisoformat(value["at"]),
        version=value["version"],
        trained_until=datetime.fromisoformat(value["trained_until"]),
        num_training_rows=value["num_training_rows"],
        reference_by_metric={
            name: reference_from_json(stored) for name, stored in value["reference_by_metric"].items()
        },
        has_won=value.get("has_won", False),  # lacking before 0.2
    )


def reference_to_json(reference: ReferenceScore) -> list[Any]:
    """Plain values of a hold-out's score."""
    expected = expected_to_json(reference.expected)
    return [reference.score, reference.num_rows, reference.standard_error, expected]


def reference_from_json(value: Sequence[Any]) -> ReferenceScore:
    """The score that `reference_to_json` wrote; the earlier form without the expectation is read too."""
    score, num_rows, error, *more = value
    return ReferenceScore(
        score=score,
        num_rows=num_rows,
        standard_error=error,
        expected=expected_from_json(more[0] if more else None),
    )
