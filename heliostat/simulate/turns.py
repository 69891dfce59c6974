"""What happens in one turn: candidates on growing history, judged on later rows, the winner fitted again on all."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.gates import Hold, Promote, decide
from heliostat.govern.candidates import (
    ALL,
    HOLDOUT_PART,
    RECENT,
    Race,
    Window,
    num_choosing,
    num_judging,
    returning,
    sure_gain,
    windows,
)
from heliostat.govern.evidence import evidence
from heliostat.simulate.judged import Champion, Judged, Trial, TurnResult
from heliostat.simulate.judging import Judging
from heliostat.simulate.learner import Begun, Learner, Model
from heliostat.simulate.stream import MIN_LABELLED, Stream
from heliostat.tasks import repeated
from heliostat.watch.reference import loss_reference, score_reference

Values = NDArray[np.float64]
Index = NDArray[np.int64]
NUM_BLOCKS = 20  # of a hold-out: rows near in time are alike


class Trainer:
    """Fits and judges on one stream; given a step, it sees only what was due and known at its end."""

    def __init__(self, stream: Stream, learner: Learner, policy: Judging) -> None:
        self._stream, self._learner, self._policy = stream, learner, policy
        self._task = stream.task

    def fit_unjudged(self, step: int, *, number: int, is_recent: bool = False) -> Champion:
        """A model of every row that is usable at the end of a step, or of as many of them as the first model had.

        Where the recent rows are all of one kind, all rows are taken.
        """
        rows = self._stream.usable(step)
        if is_recent and self._can_learn(rows[-self._policy.window_rows :]):
            rows = rows[-self._policy.window_rows :]
        return Champion(
            number=number,
            model=self._fit(rows),
            name=RECENT if is_recent else ALL,
            until_row=self._until(rows, step),
            num_rows=len(rows),
        )

    def _fit(self, rows: Index) -> Model:
        return self._learner.fit(self._stream.take(rows), self._stream.labels[rows])

    def referred(self, first: Champion, step: int) -> Champion:
        """The first champion with what a model without the newest rows scores on them; without where there are too few.

        Where the world moved within the first part that may be worse than the constant rate, which nobody may be: then
        the constant's score is the reference, or such a model could never be seen to decay.
        """
        rows = self._stream.usable(step)
        size = min(self._policy.max_holdout_rows, len(rows) // HOLDOUT_PART)
        earlier, later = rows[:-size], rows[-size:]
        if size < self._policy.min_holdout_rows or not self._can_learn(earlier):
            return first
        labels = self._stream.labels[later]
        told = self._fit(earlier).answers(self._stream.take(later))
        always = repeated(self._task.constant(self._stream.labels[earlier]), size)
        found = [self._referred(first, labels, one) for one in (told, always)]
        return min(found, key=lambda one: math.inf if one.reference is None else one.reference.score)

    def _referred(self, champion: Champion, labels: Values, answers: Values) -> Champion:
        """The champion with what these answers score."""
        blocks = _blocks(len(labels))
        return replace(
            champion,
            reference=loss_reference(labels, answers, blocks=blocks, task=self._task),
            score_reference=score_reference(labels, answers, blocks=blocks, task=self._task),
        )

    def turn(
        self,
        step: int,
        champion: Champion,
        *,
        change_row: int | None = None,
        is_in_doubt: bool = True,
        archive: Sequence[Champion] = (),
    ) -> TurnResult:
        """One turn at the end of a step; `change_row` is the first row after a change, where one is known.

        In doubt (something asked besides growth) earlier champions in `archive` compete. What cannot win is not fitted:
        nothing where an archived champion is as good as it ever was, all history not where rows since a change surely
        beat the champion.
        """
        rows = self._stream.usable(step)
        holdout = self._holdout(rows, champion, change_row=change_row)
        if len(holdout) < self._policy.min_holdout_rows:
            why = f"{len(holdout)} new rows are left to judge on, {self._policy.min_holdout_rows} are needed"
            return TurnResult(verdict=Hold((why,)), champion=None, num_fits=0, num_labels=len(rows))
        trial = self._trial(holdout, champion)
        if is_in_doubt:
            returned = self._returned(trial, archive)
            if returned is not None and returned.of is not None:
                back = replace(returned.of, number=champion.number + 1, until_row=int(holdout[0]))
                return TurnResult(
                    verdict=returned.verdict,
                    champion=back,
                    num_fits=0,
                    num_labels=len(rows),
                    gain=returned.gain,
                    is_returned=True,
                )
        before = rows[rows < holdout[0]]
        planned = self._windows(before, change_row=change_row)
        winner, num_fits, trial = self._raced(planned, before, trial, knows_all=champion.name == ALL)
        if winner is None:
            why = f"fewer than {MIN_LABELLED} rows of both kinds before the hold-out"
            return TurnResult(verdict=Hold((why,)), champion=None, num_fits=0, num_labels=len(rows))
        if not isinstance(winner.verdict, Promote):
            return TurnResult(verdict=winner.verdict, champion=None, num_fits=num_fits, num_labels=len(rows))
        fitted = self._referred(self._refitted(winner, step), trial.labels, winner.answers)
        return TurnResult(
            verdict=winner.verdict,
            champion=replace(fitted, number=champion.number + 1),
            num_fits=num_fits + 1,
            num_labels=len(rows),
            sure_gain=winner.sure_gain,
            gain=winner.gain,
        )

    def _trial(self, holdout: Index, champion: Champion) -> Trial:
        labels, table = self._stream.labels[holdout], self._stream.take(holdout)
        return Trial(labels=labels, table=table, champion=champion.number, answers=champion.model.answers(table))

    def _returned(self, trial: Trial, archive: Sequence[Champion]) -> Judged | None:
        """The archived champion whose world is back; what a sample of rows says is no better is not asked for all."""
        none = np.zeros(0, np.int64)
        better = [one for one in archive if self._is_better_on_a_sample(one, trial)]
        judged = [self._judge_model(one.name, one.model, trial, rows=none, of=one) for one in better]
        place = returning([one.archived for one in judged])
        return None if place is None else judged[place]

    def _is_better_on_a_sample(self, one: Champion, trial: Trial) -> bool:
        """Whether an earlier champion beats the present one on a few rows: who does not is not asked for all."""
        rows = np.linspace(0, len(trial.labels) - 1, self._policy.min_holdout_rows).astype(np.int64)
        labels, answers = trial.labels[rows], one.model.answers(trial.table.take(pa.array(rows)))
        theirs = self._task.losses(labels, trial.answers[rows])
        return bool(self._task.losses(labels, answers).mean() < theirs.mean())

    def _raced(
        self, planned: Sequence[Window], before: Index, trial: Trial, *, knows_all: bool
    ) -> tuple[Judged | None, int, Trial]:
        """The winner of the candidates, wholly fitted and judged, how many fits were begun, and what it was judged on.

        Where there are several, each is only begun, and whoever leads then is finished: gates judge whole fits alone.
        """
        if not planned:
            return None, 0, trial
        if len(planned) == 1:
            rows = before[-planned[0].num_rows :]
            return self._judge_model(planned[0].name, self._fit(rows), trial, rows=rows, of=None), 1, trial
        choosing, judging = self._parted(trial)
        theirs = self._task.losses(choosing.labels, choosing.answers)
        race = Race(theirs, _blocks(len(theirs)), knows_all=knows_all)
        begun: list[tuple[str, Index, Begun]] = []
        for window in planned:
            if race.can_win(window.name, is_older=window.is_older):
                rows = before[-window.num_rows :]
                model = self._learner.begin(self._stream.take(rows), self._stream.labels[rows])
                begun.append((window.name, rows, model))
                race.add(window.name, self._task.losses(choosing.labels, model.answers(choosing.table)))
        name, rows, model = begun[race.winner()]
        judging = judging if len(begun) > 1 else trial
        return self._judge_model(name, model.finished(), judging, rows=rows, of=None), len(begun), judging

    def _parted(self, trial: Trial) -> tuple[Trial, Trial]:
        """The rows that choose among candidates, and those that judge the winner; both all of them without a split."""
        policy, num_rows = self._policy, len(trial.labels)
        num = num_choosing(num_rows, split=policy.holdout_split, at_least=policy.min_holdout_rows)
        return (trial.slice(0, num), trial.slice(num, num_rows)) if num else (trial, trial)

    def _refitted(self, best: Judged, step: int) -> Champion:
        """The winner fitted again on all rows since its first one, hold-out included."""
        rows = self._stream.usable(step)
        rows = rows[rows >= best.rows[0]]
        until = self._until(rows, step)
        return Champion(number=0, model=self._fit(rows), name=best.name, until_row=until, num_rows=len(rows))

    def _until(self, rows: Index, step: int) -> int:
        """The first row that a fit to some rows has surely not seen; where due times differ the due ones have gaps."""
        return max(int(self._stream.due_rows[step]), int(rows[-1]) + 1)

    def _holdout(self, rows: Index, champion: Champion, *, change_row: int | None) -> Index:
        """The newest rows that the champion was not fitted to; at most a third of what is new."""
        new, least = rows[rows >= champion.until_row], self._policy.min_holdout_rows
        usual = max(least, min(len(new) // HOLDOUT_PART, self._policy.max_holdout_rows))
        size = num_judging(usual, num_since=_num_since(rows, change_row), at_least=least)
        return new[-min(size, len(new)) :] if len(new) else new

    def _windows(self, rows: Index, *, change_row: int | None) -> list[Window]:
        return windows(
            {ALL: len(rows)},
            num_since=_num_since(rows, change_row),
            num_recent=min(self._policy.window_rows, len(rows)),
            can_learn=lambda size: self._can_learn(rows[-size:]),
        )

    def _can_learn(self, rows: Index) -> bool:
        return len(rows) >= MIN_LABELLED and self._task.can_learn(self._stream.labels[rows])

    def _judge_model(self, name: str, model: Model, trial: Trial, *, rows: Index, of: Champion | None) -> Judged:
        answers = model.answers(trial.table)
        found = evidence(
            trial.labels,
            answers,
            champion=trial.champion,
            champion_answers=trial.answers,
            constant=self._task.constant(self._stream.labels[rows] if len(rows) else trial.labels),
            blocks=_blocks(len(trial.labels)),
            task=self._task,
            metrics=(self._task.loss,),
        )
        losses = self._task.losses(trial.labels, answers)
        theirs = self._task.losses(trial.labels, trial.answers)
        return Judged(
            name=name,
            rows=rows,
            model=model,
            answers=answers,
            loss=found.candidate[self._task.loss.name],
            constant_loss=found.constant[self._task.loss.name],
            verdict=decide(self._policy.gates, found),
            sure_gain=sure_gain(losses, theirs, _blocks(len(losses))),
            gain=float((theirs - losses).mean()),
            of=of,
        )


def _num_since(rows: Index, change_row: int | None) -> int | None:
    return None if change_row is None else int((rows >= change_row).sum())


def _blocks(num_rows: int) -> Index:
    return np.arange(num_rows) * NUM_BLOCKS // max(num_rows, 1)
