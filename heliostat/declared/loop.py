"""How the loop turns, as a workload declares it."""

from dataclasses import dataclass
from datetime import timedelta

from heliostat.declared.economics import Economics
from heliostat.errors import WorkloadError
from heliostat.typed import refuse_wrong_types


@dataclass(frozen=True, kw_only=True)
class Loop:
    """How often the loop may turn, and how a candidate earns its traffic.

    For `shadow_span` a candidate answers nobody and is asked for the same rows; zero leaves that out. Then it answers
    each of `canary_shares` for `canary_span`. All the while three in four of its batches must be scored within
    `max_model_ms`, unless the champion takes nearly as long. For `probation` after its promotion, labels that come late
    for rows of the trial may undo it.

    With `follow_ups`, turns at growing numbers of labelled rows since a change stand in for `Growth` after it. With
    `max_follow_up_rows` too, the first comes after so many labelled rows at most, and so do others while a turn shows
    that the world still moves; a turn that shows it where nobody had seen a change is followed up as well. The
    last `max_archived` champions compete in every turn that something besides growth asked for. With `economics` a turn
    starts only when it is worth its run.

    Where labels of a source that tells alone contradict more than `max_contradicted` of the answers that were sure, in
    a window and far above what is usual, they neither teach nor judge until people release them (`jobs.quarantine`):
    the world may have changed, or the labels are wrong. None lets the loop follow them.

    With `holdout_split`, that share of a hold-out, its oldest rows, chooses among several candidates, and the gates
    judge the winner by the others, which nobody chose by: none passes by luck, but fewer rows have to show that it is
    good.

    Where too few labels of a trial have matured by the end of a step, a candidate is withdrawn that surely expects more
    loss a row of itself than the champion does on the same rows, by more than `max_estimated_loss` beyond what the
    difference was on the hold-out; None leaves that out.
    """

    cooldown: timedelta = timedelta(days=14)
    max_turns: int | None = None
    follow_ups: bool = False
    max_follow_up_rows: int | None = None
    max_archived: int = 4
    economics: Economics | None = None
    min_holdout_rows: int = 200
    shadow_span: timedelta = timedelta(0)
    canary_shares: tuple[float, ...] = (0.25,)
    canary_span: timedelta = timedelta(days=1)
    max_model_ms: float = 50.0
    max_estimated_loss: float | None = None
    max_contradicted: float | None = None
    probation: timedelta = timedelta(days=30)
    holdout_span: timedelta = timedelta(days=7)
    holdout_split: float | None = None
    window: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if min(self.cooldown, self.shadow_span, self.canary_span, self.probation) < timedelta(0):
            raise WorkloadError(f"{self}: cooldown, shadow_span, canary_span and probation must not be negative.")
        if self.max_follow_up_rows is not None and self.max_follow_up_rows < 1:
            raise WorkloadError(f"{self}: max_follow_up_rows must be above zero; None sets no limit.")
        if self.max_follow_up_rows is not None and not self.follow_ups:
            raise WorkloadError(f"{self}: max_follow_up_rows bounds follow-ups; declare follow_ups=True, too.")
        if not self.max_model_ms > 0:
            raise WorkloadError(f"{self}: max_model_ms must be above zero.")
        if self.max_estimated_loss is not None and not self.max_estimated_loss > 0:
            raise WorkloadError(f"{self}: max_estimated_loss must be above zero; None asks for no estimate.")
        for name, share in (("max_contradicted", self.max_contradicted), ("holdout_split", self.holdout_split)):
            _refuse_no_share(self, name, share)
        if self.holdout_span <= timedelta(0) or self.window <= timedelta(0):
            raise WorkloadError(f"{self}: holdout_span and window must be above zero.")
        if not all(0 < share <= 1 for share in self.canary_shares):
            raise WorkloadError(f"{self}: each of canary_shares must lie above 0 and at most at 1.")
        if (self.max_turns or 0) < 0 or self.max_archived < 0 or self.min_holdout_rows < 1:
            raise WorkloadError(
                f"{self}: max_turns (None: no limit) and max_archived must not be negative, and min_holdout_rows "
                "must be at least 1."
            )


def _refuse_no_share(loop: Loop, name: str, share: float | None) -> None:
    if share is not None and not 0 < share < 1:
        raise WorkloadError(f"{loop}: {name} must lie between 0 and 1; None leaves it out.")
