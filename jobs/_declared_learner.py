"""A workload's own model as the learner of a comparison: fitted as a training does, all kinds that it declares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from heliostat.declared.revisions import as_trained, renamed_since
from heliostat.learn import bundle
from heliostat.learn.fit import Fitted, fit, refit
from heliostat.learn.fit_trees import fit_trees, refit_trees
from heliostat.learn.rows import LABEL, split_by_time
from heliostat.learn.served_model import ServedModel
from heliostat.workload import Workload

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DeclaredModel:
    """A version, or what was fitted like one; rows may be of a later contract."""

    served: ServedModel
    renamed: Mapping[str, str]

    def answers(self, rows: pa.Table) -> Values:
        """The answer to each row, in the shape of the task."""
        return self.served.answers(as_trained(rows, self.served.columns, renamed=self.renamed))


class DeclaredLearner:
    """Fits as `jobs.train` does: without the newest rows first, which settle when to stop, and then with them."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload

    def loaded(self, files: Mapping[str, bytes]) -> DeclaredModel:
        """A version from its bundle."""
        return DeclaredModel(served=ServedModel.load(files), renamed=renamed_since(self._workload.earlier))

    def fit(self, rows: pa.Table, labels: Values) -> DeclaredModel:
        """A model of rows with key, event_at and the columns; of two kinds the better one on the newest rows."""
        return self.begin(rows, labels).finished()

    def begin(self, rows: pa.Table, labels: Values) -> "Judged":
        """The fit without the newest rows."""
        table = rows.append_column(LABEL, pa.array(labels))
        train, validation = split_by_time(table, share=self._workload.training.validation_share)
        judged = {kind: self._judged(kind, train, validation) for kind in self._workload.kinds}
        kind = min(judged, key=lambda each: judged[each].history[judged[each].best_epoch].validation_loss)
        return Judged(learner=self, rows=table, kind=kind, fitted=judged[kind])

    def served(self, fitted: Fitted) -> DeclaredModel:
        """What was fitted, as it answers."""
        renamed = renamed_since(self._workload.earlier)
        return DeclaredModel(served=bundle.served(self._workload, fitted), renamed=renamed)

    def _judged(self, kind: str, train: pa.Table, validation: pa.Table) -> Fitted:
        fits = fit_trees if kind == "trees" else fit
        return fits(self._workload, train, validation, seed=self._workload.training.seed)

    def again(self, kind: str, rows: pa.Table, judged: Fitted) -> Fitted:
        """The fit to all rows, for as long as did best without the newest."""
        num_epochs, seed = judged.best_epoch + 1, self._workload.training.seed
        if kind == "trees":
            return refit_trees(self._workload, rows, num_rounds=num_epochs, calibration=judged.calibration, seed=seed)
        return refit(self._workload, rows, num_epochs=num_epochs, calibration=judged.calibration, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A fit without the newest rows, which may be done again with them."""

    learner: DeclaredLearner
    rows: pa.Table
    kind: str
    fitted: Fitted

    def answers(self, rows: pa.Table) -> Values:
        """What it answers itself."""
        return self.learner.served(self.fitted).answers(rows)

    def finished(self) -> DeclaredModel:
        """The fit with all rows."""
        return self.learner.served(self.learner.again(self.kind, self.rows, self.fitted))


def left_out(workload: Workload, gates: Sequence[object]) -> list[str]:
    """The names of declared gates that are not among `gates`."""
    return [type(gate).__name__ for gate in workload.gates if gate not in gates]
