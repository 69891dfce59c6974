"""What must hold before a candidate may serve: promote, or hold with reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from heliostat.errors import WorkloadError
from heliostat.finding import Finding
from heliostat.guards import Further, Guard
from heliostat.metrics import Metric
from heliostat.paired_process import SURE, log_evidence
from heliostat.typed import refuse_wrong_types

ONE_SIDED_95 = 1.64  # standard errors


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Candidate against champion on the same rows: mean loss difference (below zero: candidate better).

    `blocks` are the mean differences of blocks of rows in time order, for a test that may be looked at again and again.
    """

    champion: int
    num_rows: int
    mean_difference: float
    standard_error: float
    score_by_metric: Mapping[str, float]
    blocks: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the gates look at: scores on a hold-out later in time than training."""

    num_rows: int
    candidate: Mapping[str, float]
    constant: Mapping[str, float]
    paired: Paired | None = None
    further: Further = field(default_factory=Further)


@dataclass(frozen=True)
class Promote:
    """The candidate may take traffic."""

    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Hold:
    """The candidate may not take traffic, and why."""

    reasons: tuple[str, ...]


@dataclass(frozen=True)
class AtMost:
    """The candidate's score is at most `limit` (at least, where higher is better)."""

    metric: Metric
    limit: float

    def __post_init__(self) -> None:
        refuse_wrong_types(self)

    def check(self, evidence: Evidence) -> Finding:
        """Whether the gate holds."""
        score = evidence.candidate[self.metric.name]
        if self.metric.higher_is_better:
            return Finding(score >= self.limit, f"{self.metric} {score:.4f}, at least {self.limit} asked")
        return Finding(score <= self.limit, f"{self.metric} {score:.4f}, at most {self.limit} asked")


@dataclass(frozen=True)
class BetterThanConstant:
    """The candidate beats the answer that is always the training rate.

    With `or_less_bad` it is enough to surely (one-sided 95%) beat a champion that is worse than that answer too: to
    hold on to the worse of two bad ones helps nobody.
    """

    metric: Metric
    or_less_bad: bool = False

    def __post_init__(self) -> None:
        refuse_wrong_types(self)

    def check(self, evidence: Evidence) -> Finding:
        """Whether the gate holds."""
        score, constant = evidence.candidate[self.metric.name], evidence.constant[self.metric.name]
        told = f"{self.metric} {score:.4f} against {constant:.4f} of the constant rate"
        if self._is_better(score, constant):
            return Finding(True, told)
        if self.or_less_bad and self._is_less_bad(evidence, constant):
            return Finding(True, f"{told}, which the champion is further from")
        return Finding(False, told)

    def _is_better(self, score: float, other: float) -> bool:
        return score > other if self.metric.higher_is_better else score < other

    def _is_less_bad(self, evidence: Evidence, constant: float) -> bool:
        paired = evidence.paired
        if paired is None or not self._is_better(constant, paired.score_by_metric[self.metric.name]):
            return False
        return paired.mean_difference + ONE_SIDED_95 * paired.standard_error < 0


@dataclass(frozen=True)
class NoWorseThanChampion:
    """The candidate's loss is not worse than the champion's on the same rows by more than `margin`.

    One-sided at 95%: fails when the difference less 1.64 standard errors lies above the margin, when the blocks in time
    order were surely worse at some point (a test that holds for every look), or when there are no rows to compare on.
    """

    metric: Metric
    margin: float = 0.0

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.metric.losses is None:
            raise WorkloadError(
                f"NoWorseThanChampion({self.metric}) cannot be judged: only a loss is compared row by row. "
                "Use NoWorseThanChampion(log_loss), for quantities NoWorseThanChampion(mse), with AtMost for others."
            )

    def check(self, evidence: Evidence) -> Finding:
        """Whether the gate holds; it does when there is no champion yet."""
        paired = evidence.paired
        if paired is None:
            return Finding(True, "no champion to compare with")
        best_case = paired.mean_difference - ONE_SIDED_95 * paired.standard_error
        is_surely_worse = log_evidence(paired.blocks, margin=self.margin) >= SURE
        return Finding(
            best_case <= self.margin and not is_surely_worse,  # NaN, the difference on no rows, fails
            f"loss {paired.mean_difference:+.4f} ± {1.96 * paired.standard_error:.4f} against "
            f"version {paired.champion} on {paired.num_rows:,} rows",
        )


Scored = AtMost | BetterThanConstant | NoWorseThanChampion
Gate = Scored | Guard


def decide(gates: Sequence[Gate], evidence: Evidence) -> Promote | Hold:
    """Promote when every gate holds, else hold; the reasons name every gate looked at."""
    findings = [gate.check(evidence) if isinstance(gate, Scored) else gate.check(evidence.further) for gate in gates]
    failed = tuple(finding.reason for finding in findings if not finding.passed)
    if failed:
        return Hold(failed)
    return Promote(tuple(finding.reason for finding in findings))
