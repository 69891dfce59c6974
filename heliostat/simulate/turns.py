"""What happens in one turn: candidates on growing history, judged on later rows, the winner fitted again on all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heliostat.blocks import block_mean, sums_by_block
from heliostat.gates import Hold, Promote, decide
from heliostat.govern.evidence import evidence, paired
from heliostat.metrics import log_loss, log_losses
from heliostat.simulate.learner import Learner, Model
from heliostat.simulate.policy import GATES, Policy
from heliostat.simulate.stream import MIN_LABELLED, Stream
from heliostat.watch.events import ReferenceScore

Values = NDArray[np.float64]
Index = NDArray[np.int64]
NUM_BLOCKS = 20  # of a hold-out: rows near in time are alike
HOLDOUT_PART = 3  # of the rows that are new at most a third judges, the rest teaches
ALL, SINCE, RECENT = "all history", "since the change", "recent rows"
ALIKE = 0.8  # a window with that share of the rows of another is the same candidate


@dataclass(frozen=True, kw_only=True)
class Champion:
    """A model that answers: fitted on labelled rows before `until_row`, and what its twin scored on later ones."""

    number: int
    model: Model
    name: str
    until_row: int
    num_rows: int
    reference: ReferenceScore | None = None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One candidate: fitted on `rows` without the hold-out, its answers there, and what the gates say."""

    name: str
    since_row: int
    answers: Values
    loss: float
    verdict: Promote | Hold


@dataclass(frozen=True, kw_only=True)
class TurnResult:
    """The verdict of a turn, its new champion if there is one, and what the turn cost."""

    verdict: Promote | Hold
    champion: Champion | None
    num_fits: int
    num_labels: int
    is_all_beaten: bool = False


class Trainer:
    """Fits and judges on one stream; given a step, it sees only what was due and known at its end."""

    def __init__(self, stream: Stream, learner: Learner, policy: Policy) -> None:
        self._stream, self._learner, self._policy = stream, learner, policy

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
            until_row=int(self._stream.due_rows[step]),
            num_rows=len(rows),
        )

    def _fit(self, rows: Index) -> Model:
        return self._learner.fit(self._stream.take(rows), self._stream.labels[rows])

    def first_reference(self, step: int) -> ReferenceScore | None:
        """What a model without the newest rows scores on them; None where there are too few.

        Where the world moved within the first part that may be worse than the constant rate, which nobody may be: then
        the constant's score is the reference, or such a model could never be seen to decay.
        """
        rows = self._stream.usable(step)
        size = min(self._policy.max_holdout_rows, len(rows) // HOLDOUT_PART)
        earlier, later = rows[:-size], rows[-size:]
        if size < self._policy.min_holdout_rows or not self._can_learn(earlier):
            return None
        labels = self._stream.labels[later]
        found = _reference(labels, self._fit(earlier).probabilities(self._stream.take(later)))
        constant = _reference(labels, np.full(size, self._stream.labels[earlier].mean()))
        return min(found, constant, key=lambda one: one.score)

    def turn(
        self, step: int, champion: Champion, *, change_row: int | None, try_recent: bool, try_all: bool = True
    ) -> TurnResult:
        """One turn at the end of a step; `change_row` is the first row after a change, where one is known.

        Without `try_all` all history is fitted only where the rows since the change are too few: it was surely beaten
        by them before, and they have only become more.
        """
        rows = self._stream.usable(step)
        holdout = self._holdout(rows, champion, change_row=change_row)
        if len(holdout) < self._policy.min_holdout_rows:
            why = f"{len(holdout)} new rows are left to judge on, {self._policy.min_holdout_rows} are needed"
            return TurnResult(verdict=Hold((why,)), champion=None, num_fits=0, num_labels=len(rows))
        cut = int(holdout[0])
        spans = self._spans(rows[rows < cut], change_row=change_row, try_recent=try_recent)
        if not try_all and any(name == SINCE for name, _ in spans):
            spans = [(name, part) for name, part in spans if name != ALL]
        judged = [self._judge(name, part, holdout, champion=champion) for name, part in spans]
        if not judged:
            why = f"fewer than {MIN_LABELLED} rows of both kinds before the hold-out"
            return TurnResult(verdict=Hold((why,)), champion=None, num_fits=0, num_labels=len(rows))
        labels = self._stream.labels[holdout]
        best = _best(judged, labels)
        if not isinstance(best.verdict, Promote):
            return TurnResult(verdict=best.verdict, champion=None, num_fits=len(judged), num_labels=len(rows))
        is_beaten = best.name == SINCE and all(
            _is_surely_better(best, one, labels) for one in judged if one.name == ALL
        )
        return TurnResult(
            verdict=best.verdict,
            champion=self._refitted(best, step, number=champion.number + 1, holdout_labels=labels),
            num_fits=len(judged) + 1,
            num_labels=len(rows),
            is_all_beaten=is_beaten,
        )

    def _refitted(self, best: Judged, step: int, *, number: int, holdout_labels: Values) -> Champion:
        """The winner fitted again on all rows since its first one, hold-out included; what its twin scored stays."""
        rows = self._stream.usable(step)
        rows = rows[rows >= best.since_row]
        return Champion(
            number=number,
            model=self._fit(rows),
            name=best.name,
            until_row=int(self._stream.due_rows[step]),
            num_rows=len(rows),
            reference=_reference(holdout_labels, best.answers),
        )

    def _holdout(self, rows: Index, champion: Champion, *, change_row: int | None) -> Index:
        """The newest rows that the champion was not fitted to; at most a third of what is new."""
        new = rows[rows >= champion.until_row]
        num_since = len(new) if change_row is None else int((rows >= change_row).sum())
        size = max(self._policy.min_holdout_rows, min(len(new), num_since) // HOLDOUT_PART)
        return new[-min(size, self._policy.max_holdout_rows, len(new)) :] if len(new) else new

    def _spans(self, rows: Index, *, change_row: int | None, try_recent: bool) -> list[tuple[str, Index]]:
        """Named training rows, all history first; one that nearly equals an earlier one cannot win and is left out."""
        wanted = [(ALL, rows)]
        if change_row is not None:
            wanted.append((SINCE, rows[rows >= change_row]))
        if try_recent:
            wanted.append((RECENT, rows[-self._policy.window_rows :]))
        kept: list[tuple[str, Index]] = []
        for name, part in wanted:
            is_alike = any(min(len(part), len(other)) >= ALIKE * max(len(part), len(other)) for _, other in kept)
            if self._can_learn(part) and not is_alike:
                kept.append((name, part))
        return kept

    def _can_learn(self, rows: Index) -> bool:
        return len(rows) >= MIN_LABELLED and len(np.unique(self._stream.labels[rows])) == 2

    def _judge(self, name: str, rows: Index, holdout: Index, *, champion: Champion) -> Judged:
        labels, table = self._stream.labels[holdout], self._stream.take(holdout)
        answers = self._fit(rows).probabilities(table)
        found = evidence(
            labels,
            answers,
            champion=champion.number,
            champion_probabilities=champion.model.probabilities(table),
            train_rate=float(self._stream.labels[rows].mean()),
            blocks=_blocks(len(holdout)),
            metrics=(log_loss,),
        )
        loss = found.candidate[log_loss.name]
        return Judged(name=name, since_row=int(rows[0]), answers=answers, loss=loss, verdict=decide(GATES, found))


def _best(judged: Sequence[Judged], labels: Values) -> Judged:
    """Those that passed before those that did not; then all history, unless a shorter one is surely better.

    The newest rows flatter whoever learned from the rows next to them, and conditions come back.
    """
    passed = [one for one in judged if isinstance(one.verdict, Promote)]
    if not passed:
        return min(judged, key=lambda one: one.loss)
    lowest, widest = min(passed, key=lambda one: one.loss), passed[0]
    return lowest if _is_surely_better(lowest, widest, labels) else widest


def _is_surely_better(one: Judged, other: Judged, labels: Values) -> bool:
    found = paired(
        labels,
        one.answers,
        champion=0,
        champion_probabilities=other.answers,
        blocks=_blocks(len(labels)),
        metrics=(log_loss,),
    )
    return found.mean_difference + 1.64 * found.standard_error < 0


def _reference(labels: Values, answers: Values) -> ReferenceScore:
    found = block_mean(*sums_by_block(log_losses(labels, answers), _blocks(len(labels))))
    return ReferenceScore(score=found.mean, num_rows=found.num_rows, standard_error=found.standard_error)


def _blocks(num_rows: int) -> Index:
    return np.arange(num_rows) * NUM_BLOCKS // max(num_rows, 1)
