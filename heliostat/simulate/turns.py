"""What happens in one turn: candidates on growing history, judged on later rows, the winner fitted again on all."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.blocks import NORMAL_95
from heliostat.gates import Hold, Promote, decide
from heliostat.govern.candidates import ALL, RECENT, SINCE, best, can_win, num_choosing, returns, windows
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
HOLDOUT_PART = 3  # of the rows that are new at most a third judges, the rest teaches


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

        In doubt (something asked besides growth) earlier champions in `archive` compete. Recent rows are tried where no
        change is known: a world that moves slowly gives no alarm. What cannot win is not fitted: nothing where an
        archived champion is as good as it ever was, all history not where rows since a change surely beat the champion.
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
        spans = self._spans(rows[rows < holdout[0]], change_row=change_row)
        winner, num_fits, trial = self._raced(spans, trial, change_row=change_row, knows_all=champion.name == ALL)
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
        """The best archived champion, if it surely beats the present one and does about as well as in its time.

        One that does no better than the constant answer never returns, however bad the present one is.
        """
        none = np.zeros(0, np.int64)
        better = [one for one in archive if self._is_better_on_a_sample(one, trial)]
        judged = [self._judge_model(one.name, one.model, trial, rows=none, of=one) for one in better]
        sure = [one for one in judged if one.sure_gain > 0 and one.loss < one.constant_loss]
        passed = [one for one in sure if isinstance(one.verdict, Promote)]
        if not passed:
            return None
        lowest = min(passed, key=lambda one: one.loss)
        known = None if lowest.of is None else lowest.of.reference
        if known is None or not returns(lowest.loss, reference=known.score, error=known.standard_error):
            return None
        return lowest

    def _is_better_on_a_sample(self, one: Champion, trial: Trial) -> bool:
        """Whether an earlier champion beats the present one on a few rows: who does not is not asked for all."""
        rows = np.linspace(0, len(trial.labels) - 1, self._policy.min_holdout_rows).astype(np.int64)
        labels, answers = trial.labels[rows], one.model.answers(trial.table.take(pa.array(rows)))
        theirs = self._task.losses(labels, trial.answers[rows])
        return bool(self._task.losses(labels, answers).mean() < theirs.mean())

    def _raced(
        self, spans: Sequence[tuple[str, Index]], trial: Trial, *, change_row: int | None, knows_all: bool
    ) -> tuple[Judged | None, int, Trial]:
        """The winner of the candidates, wholly fitted and judged, how many fits were begun, and what it was judged on.

        Where there are several, each is only begun, and whoever leads then is finished: gates judge whole fits alone.
        """
        if len(spans) == 1:
            name, rows = spans[0]
            return self._judge_model(name, self._fit(rows), trial, rows=rows, of=None), 1, trial
        choosing, judging = self._parted(trial)
        judged: list[Judged] = []
        begun: list[Begun] = []
        for name, rows in spans:
            is_older = change_row is not None and bool(rows[0] < change_row)
            if can_win([one.contender for one in judged], is_older=is_older, is_all=name == ALL, knows_all=knows_all):
                begun.append(self._learner.begin(self._stream.take(rows), self._stream.labels[rows]))
                judged.append(self._judge_model(name, begun[-1], choosing, rows=rows, of=None))
        if not judged:
            return None, 0, trial
        place = best([one.contender for one in judged], _blocks(len(choosing.labels)), num_errors=NORMAL_95)
        leader, model = judged[place], begun[place].finished()
        return self._judge_model(leader.name, model, judging, rows=leader.rows, of=None), len(judged), judging

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
        new = rows[rows >= champion.until_row]
        num_since = len(new) if change_row is None else int((rows >= change_row).sum())
        size = max(self._policy.min_holdout_rows, min(len(new), num_since) // HOLDOUT_PART)
        return new[-min(size, self._policy.max_holdout_rows, len(new)) :] if len(new) else new

    def _spans(self, rows: Index, *, change_row: int | None) -> list[tuple[str, Index]]:
        """Named training rows, the shortest first: of a change that is known, those since it, else the recent ones."""
        wanted = {
            ALL: len(rows),
            SINCE: None if change_row is None else int((rows >= change_row).sum()),
            RECENT: min(self._policy.window_rows, len(rows)) if change_row is None else None,
        }
        found = windows(wanted, can_learn=lambda size: self._can_learn(rows[-size:]))
        return [(name, rows[-size:]) for name, size in found]

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
        assert found.paired is not None  # a champion was given
        return Judged(
            name=name,
            rows=rows,
            model=model,
            answers=answers,
            loss=found.candidate[self._task.loss.name],
            constant_loss=found.constant[self._task.loss.name],
            verdict=decide(self._policy.gates, found),
            sure_gain=-(found.paired.mean_difference + 1.64 * found.paired.standard_error),
            gain=-found.paired.mean_difference,
            of=of,
            losses=self._task.losses(trial.labels, answers),
        )


def _blocks(num_rows: int) -> Index:
    return np.arange(num_rows) * NUM_BLOCKS // max(num_rows, 1)
