"""One answer out of several: pure arithmetic on what the other workloads gave, or did not give."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heliostat.declared.inputs import Ensemble, WhenMissing
from heliostat.serving.problem import UnavailableError


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What another workload answered, row by row; `missing` says why when it did not, and then there are no rows."""

    probabilities: Sequence[float] = ()
    versions: Sequence[int] = ()
    ids: Sequence[str] = ()
    degraded_reason: str | None = None
    missing: str | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a workload contributes to these rows, None where nothing; `degraded_reason` when not all is well."""

    workload: str
    probabilities: list[float | None]
    versions: list[int | None]
    ids: list[str | None]
    degraded_reason: str | None = None


def part(workload: str, reply: Reply, *, rows: Sequence[int], num_rows: int, when_missing: WhenMissing) -> Part:
    """The reply for `rows` of all rows, or what is declared in its place; UnavailableError when that is "fail"."""
    probabilities: list[float | None] = [None] * num_rows
    versions: list[int | None] = [None] * num_rows
    ids: list[str | None] = [None] * num_rows
    reason = None if reply.degraded_reason is None else f"{workload}: {reply.degraded_reason}"
    if reply.missing is not None:
        if when_missing == "fail":
            raise UnavailableError(f"The workload {workload!r}, whose answer is needed, gave none: {reply.missing}")
        stand_in = None if isinstance(when_missing, str) else float(when_missing)
        for row in rows:
            probabilities[row] = stand_in
        instead = "it was left out" if stand_in is None else f"{stand_in:g} stands in"
        reason = f"{workload} gave no answer ({reply.missing}); {instead}"
    else:
        for at, row in enumerate(rows):
            probabilities[row], versions[row], ids[row] = reply.probabilities[at], reply.versions[at], reply.ids[at]
    return Part(workload=workload, probabilities=probabilities, versions=versions, ids=ids, degraded_reason=reason)


def weighted(own: Sequence[float], parts: Sequence[Part], ensemble: Ensemble) -> list[float]:
    """The weighted mean of each row over those that answered it."""
    means = []
    for row, probability in enumerate(own):
        votes = [(ensemble.own, probability)]
        for each in parts:
            given = each.probabilities[row]
            if given is not None:
                votes.append((ensemble.weights[each.workload], given))
        means.append(sum(weight * vote for weight, vote in votes) / sum(weight for weight, _ in votes))
    return means


def unsure(probabilities: Sequence[float], until_confident: float) -> list[int]:
    """The rows whose likelier label is less likely than that."""
    return [row for row, p in enumerate(probabilities) if max(p, 1.0 - p) < until_confident]


def overruled(before: Sequence[float], later: Part) -> list[float]:
    """The later answer where there is one, else the one before."""
    return [old if new is None else new for old, new in zip(before, later.probabilities, strict=True)]


def degraded_reason(parts: Sequence[Part]) -> str | None:
    """All that is not well, None when all is."""
    return "; ".join(each.degraded_reason for each in parts if each.degraded_reason is not None) or None


def answered_with(own: Sequence[float], parts: Sequence[Part]) -> list[str]:
    """For the log, a JSON object a row: what this workload's own model said, and each other with version and id."""
    logged = []
    for row, probability in enumerate(own):
        others: Mapping[str, object] = {
            each.workload: {
                "probability": each.probabilities[row],
                "version": each.versions[row],
                "id": each.ids[row],
            }
            for each in parts
            if each.probabilities[row] is not None or each.degraded_reason is not None
        }
        logged.append(json.dumps({"own": probability, "others": others}))
    return logged
