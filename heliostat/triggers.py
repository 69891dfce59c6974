"""What counts as a reason to retrain; `watch.monitor` evaluates these on closed windows."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from heliostat.errors import WorkloadError
from heliostat.metrics import Metric, log_loss
from heliostat.typed import refuse_wrong_types

SUDDEN_RUN_LENGTH = 1_000_000  # windows between false alarms: a change that is seen on few rows must be beyond doubt


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Inputs moved: some column's population stability index stays above `psi` for `windows` windows in a row.

    And that is no chance: tested after every window, for ever, and over all columns, with `run_length` windows or more
    between false alarms on average.
    """

    psi: float = 0.25
    windows: int = 3
    run_length: int = 1000

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.psi <= 0 or self.windows < 1:
            raise WorkloadError(
                f"Drift(psi={self.psi}, windows={self.windows}): psi must be above 0, windows at least 1."
            )
        if self.run_length < 2:
            raise WorkloadError(
                f"Drift(run_length={self.run_length}): windows between false alarms must be at least 2."
            )


@dataclass(frozen=True, kw_only=True)
class JointDrift:
    """Columns go together otherwise than in training, whether or not one of them moved on its own.

    Of the columns in `Watching(together=...)`. Tested after every window, for ever, and over all their pairs, with
    `run_length` windows or more between false alarms on average while no correlation moves by more than 0.05.
    """

    run_length: int = 1000

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.run_length < 2:
            raise WorkloadError(
                f"JointDrift(run_length={self.run_length}): windows between false alarms must be at least 2."
            )


@dataclass(frozen=True, kw_only=True)
class SliceDrift:
    """An input moved within a slice of the rows, whether or not it did in all rows: as `Drift`, slice by slice.

    Of the columns in `Watching(within=...)`. `run_length` windows or more lie between false alarms on average, over all
    columns in all slices.
    """

    psi: float = 0.25
    windows: int = 3
    run_length: int = 1000

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.psi <= 0 or self.windows < 1 or self.run_length < 2:
            raise WorkloadError(
                f"SliceDrift(psi={self.psi}, windows={self.windows}, run_length={self.run_length}): psi must be above "
                "0, windows at least 1, run_length at least 2."
            )


@dataclass(frozen=True)
class Decay:
    """Quality fell: the matured score is worse than the champion's hold-out score by more than `margin`.

    Tested after every window, for ever: while quality keeps within the margin, a false alarm comes after `run_length`
    windows or more on average. It is said when at least `min_rows` rows have matured since the change began. With
    `sudden_rows` it is said on so many rows already, where such evidence comes by chance once in a million windows.

    With `in_bursts` it is known that errors come in bursts: where answers are nearly certain and the hold-out was too
    short to hold a burst, it is counted how many windows are bad, not how bad they are, and as many are tolerated as
    such a hold-out leaves open (three in as many windows as it is long). One burst is then no decay.
    """

    metric: Metric
    margin: float
    min_rows: int = 1000
    run_length: int = 1000
    sudden_rows: int | None = None
    in_bursts: bool = False

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.margin <= 0 or self.min_rows < 1:
            raise WorkloadError(
                f"Decay({self.metric}, margin={self.margin}, min_rows={self.min_rows}): both must be above 0."
            )
        if self.run_length < 2:
            raise WorkloadError(
                f"Decay({self.metric}, run_length={self.run_length}): windows between false alarms must be at least 2."
            )
        if self.sudden_rows is not None and self.sudden_rows < 1:
            raise WorkloadError(
                f"Decay({self.metric}, sudden_rows={self.sudden_rows}): must be above 0; None says no change sooner."
            )

    @property
    def tests(self) -> "tuple[Decay, ...]":
        """What the monitor looks at, each said once: decay as declared, and where asked for the sudden kind."""
        usual = replace(self, sudden_rows=None)
        if self.sudden_rows is None:
            return (usual,)
        return usual, replace(usual, min_rows=self.sudden_rows, run_length=SUDDEN_RUN_LENGTH)


@dataclass(frozen=True)
class Slack:
    """The answers became too cautious: their loss is lower than they expect by more than `margin`.

    Then the world became easier than it was when the champion learned, and learning again has something to gain. Tested
    as `Decay` is. Where the answers were too sure on the hold-out, they need only cost less than they did there; with
    `beyond_expectation` less than they expect, so that usual times after a hold-out of hard ones are no slack.
    """

    margin: float
    min_rows: int = 1000
    run_length: int = 1000
    metric: Metric = log_loss
    beyond_expectation: bool = False

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.margin <= 0 or self.min_rows < 1 or self.run_length < 2:
            raise WorkloadError(f"{self}: margin and min_rows must be above 0, run_length at least 2.")
        if self.metric.losses is None:
            raise WorkloadError(f"{self}: answers expect a loss of themselves; give log_loss, or mse of a quantity.")


@dataclass(frozen=True)
class Age:
    """The champion is older than `limit` on the clock of the events."""

    limit: timedelta

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if self.limit <= timedelta(0):
            raise WorkloadError(f"Age({self.limit}): the limit must be above zero.")


@dataclass(frozen=True)
class Growth:
    """There is more to learn from: since its training, labelled rows came to `share` of what the champion learned from.

    Turns follow at growing distances, each after the history grew by the same share: a new row teaches less the more
    there are, and soon after a start or a change each day counts most. With `while_paying` that smaller share is enough
    after a turn that surely won on its hold-out, until one changes nothing: more rows still teach, or the world moves.
    """

    share: float = 0.25
    while_paying: float | None = None

    def __post_init__(self) -> None:
        refuse_wrong_types(self)
        if not self.share > 0:
            raise WorkloadError(f"Growth({self.share}): the share must be above 0.")
        if self.while_paying is not None and not 0 < self.while_paying <= self.share:
            raise WorkloadError(
                f"Growth({self.share}, while_paying={self.while_paying}): while_paying must lie above 0 and at most at "
                "the share; None asks at the share alone."
            )

    def after(self, *, has_won: bool) -> float:
        """The share that asks after a turn that surely won, or any other."""
        return self.while_paying if has_won and self.while_paying is not None else self.share


Single = Drift | JointDrift | SliceDrift | Decay | Slack | Age | Growth


@dataclass(frozen=True, init=False)
class AllOf:
    """All of these hold at once, such as inputs that drifted and a champion of a week; each alone asks nothing.

    Several entries of `retrain_on` are the other combination: any of them asks.
    """

    triggers: tuple[Single, ...]

    def __init__(self, *triggers: Single) -> None:
        if len(triggers) < 2 or not all(isinstance(one, Single) for one in triggers):
            raise WorkloadError(
                f"AllOf{triggers}: needs two triggers or more, such as Drift() and Age(timedelta(days=7))."
            )
        object.__setattr__(self, "triggers", triggers)


Trigger = Single | AllOf


def singles(triggers: Iterable[Trigger]) -> list[Single]:
    """The triggers one by one, those of a combination too."""
    return [one for each in triggers for one in (each.triggers if isinstance(each, AllOf) else (each,))]
