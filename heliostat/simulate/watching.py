"""What the monitor is told of a played stream: windows of inputs and matured cohorts, as in the live loop."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.simulate.judged import Champion
from heliostat.simulate.stream import DAY, EPOCH, Stream, instant
from heliostat.tasks import Task
from heliostat.watch.events import ChampionChanged, CohortMatured, CohortScore, WindowClosed
from heliostat.watch.profile import Profile
from heliostat.watch.windows import Windows, window_start

Values = NDArray[np.float64]
Index = NDArray[np.int64]
WINDOW = 4 * DAY  # steps whose inputs are counted together: counting a few rows costs as much
INSTANT = pa.timestamp("us", tz="UTC")
PROFILE_ROWS = 2_000  # the newest; more rows hardly move a bin, and each has to be answered


class Watched:
    """Every answer so far with the version that gave it, and the windows of the champion that is watched."""

    def __init__(self, stream: Stream, first: Champion) -> None:
        self._stream = stream
        self._answers = np.full((stream.num_rows, *stream.task.shape), np.nan)
        self._versions = np.zeros(stream.num_rows, np.int64)
        # Rows of the first part that fall due later: the first champion was not fitted to them either.
        late = np.flatnonzero(stream.due_step[: stream.first_rows] > stream.first_step)
        self._take_in(first, first.model.answers(stream.take(late)), late)
        self._windows = self._windows_of(first, step=stream.first_step)
        self._counted_until = stream.first_rows

    def answered(self, step: int, champion: Champion, answers: Values) -> list[WindowClosed]:
        """Take in the answers of a step; the windows that closed with it."""
        self._take_in(champion, answers, np.arange(self._stream.rows_at(step - 1), self._stream.rows_at(step)))
        if window_start(instant(step), WINDOW) != instant(step):
            return []
        rows = np.arange(self._counted_until, self._stream.rows_at(step))
        self._counted_until = self._stream.rows_at(step)
        answers = self._answers[rows]
        self._windows.add(self._told(rows), self._stream.task.output(answers), answers=answers)
        return self._windows.close(instant(step))

    def matured(self, step: int) -> CohortMatured | None:
        """The rows that fell due in a step, scored with the labels known at its end; None when there are none."""
        rows = self._stream.falls_due(step)
        rows = rows[self._versions[rows] > 0]
        if not len(rows):
            return None
        labels, versions = self._stream.labels_known(rows, step=step), self._versions[rows]
        by_version = {
            version: score(labels[versions == version], self._answers[rows[versions == version]], self._stream.task)
            for version in np.unique(versions).tolist()
        }
        return CohortMatured(since=instant(step - 1), until=instant(step), score_by_version=by_version)

    def change(self, champion: Champion, *, step: int, has_won: bool) -> ChampionChanged:
        """Another champion answers from the end of a step on; whether it surely beat the one before."""
        self._windows = self._windows_of(champion, step=step)
        self._counted_until = self._stream.rows_at(step)
        num_known = len(self._stream.usable(step))
        return changed(champion, step=step, num_known=num_known, task=self._stream.task, has_won=has_won)

    def _take_in(self, champion: Champion, answers: Values, rows: Index) -> None:
        self._answers[rows] = answers
        self._versions[rows] = champion.number

    def _windows_of(self, champion: Champion, *, step: int) -> Windows:
        rows = self._stream.usable(step)[-min(champion.num_rows, PROFILE_ROWS) :]
        answers = champion.model.answers(self._stream.take(rows))
        profile = Profile.fit(self._told(rows), self._stream.columns, answers, task=self._stream.task, window=WINDOW)
        return Windows(profile, version=champion.number, span=WINDOW, task=self._stream.task)

    def _told(self, rows: Index) -> pa.Table:
        """Inputs with the day on which they were asked."""
        days = (self._stream.steps_of(rows) - 1).astype("timedelta64[D]")
        event_at = pa.array(np.datetime64(EPOCH.replace(tzinfo=None), "us") + days).cast(INSTANT)
        return self._stream.take(rows).append_column("event_at", event_at)


def score(labels: Values, answers: Values, task: Task) -> CohortScore:
    """What triggers look at in a cohort of one version, as `watch.cohorts` has it with all that people look at, too.

    Rows without a label (NaN) count as predictions only.
    """
    is_labelled = np.isfinite(labels)
    known, told = labels[is_labelled], answers[is_labelled]
    return CohortScore(
        num_predictions=len(labels),
        num_labelled=len(known),
        score_by_metric={one.name: one(known, told) for one in (task.loss, task.score)},
        expected=task.expected(told),
    )


def changed(champion: Champion, *, step: int, num_known: int, task: Task, has_won: bool = False) -> ChampionChanged:
    """What the monitor is told of a champion; without a reference its decay cannot be seen.

    Growth counts from all `num_known` labelled rows: a champion of few is no reason to turn sooner.
    """
    references = {task.loss.name: champion.reference, task.score.name: champion.score_reference}
    return ChampionChanged(
        at=instant(step),
        version=champion.number,
        trained_until=instant(step),
        num_training_rows=num_known,
        reference_by_metric={name: known for name, known in references.items() if known is not None},
        has_won=has_won,
    )
