"""Trees that are boosted in portions: a fit that is lost goes on, and ends with the same trees."""

from dataclasses import replace

import pytest

from heliostat import Trees
from heliostat.errors import TrainingError
from heliostat.learn import boosting
from heliostat.learn.fit_trees import fit_trees, refit_trees
from heliostat.learn.rows import split_by_time
from heliostat.learn.start import Start
from heliostat.learn.state import FitState
from tests import toy_kinds, toy_trees
from tests.toy_rows import labelled_rows
from tests.unit.test_kinds_learning import rows_of

TREES = Trees(rounds=160, patience=100, learning_rate=0.1, depth=3)
BINARY = replace(toy_trees.workload, trees=TREES)


def parts_of(workload):
    known = labelled_rows("2024-01", "2024-02", rows_per_part=300) if workload is BINARY else rows_of(workload)
    return split_by_time(known, share=0.2)


def told(fits, *given, **options):
    """What a fit gives, and the states that it left on the way, as they are read back."""
    states = []
    fitted = fits(*given, seed=1, on_epoch=lambda state: states.append(state.to_bytes()), **options)
    return fitted, [FitState.from_bytes(data) for data in states]


@pytest.mark.parametrize("workload", [BINARY, toy_kinds.wear, toy_kinds.cause], ids=lambda each: each.task.kind)
def test_a_fit_killed_after_any_portion_ends_with_the_same_trees(workload):
    own, parts = replace(workload, trees=TREES), parts_of(workload)
    whole, states = told(fit_trees, own, *parts)
    assert len(states) >= 3
    for number, state in enumerate(states):
        again, later = told(fit_trees, own, *parts, resume=state)
        assert again.trees == whole.trees
        assert again.history == whole.history
        assert again.calibration == whole.calibration
        assert [each.trees() for each in later] == [each.trees() for each in states[number + 1 :]]


def test_a_portion_is_50_rounds_and_the_last_one_what_is_left():
    _, states = told(fit_trees, BINARY, *parts_of(BINARY))
    assert [state.num_epochs for state in states[:2]] == [50, 100]
    everything = replace(BINARY, trees=replace(TREES, patience=160))
    _, states = told(fit_trees, everything, *parts_of(BINARY))
    assert [state.num_epochs for state in states] == [50, 100, 150, 160]


def test_a_fit_that_nobody_keeps_a_checkpoint_of_has_the_same_trees():
    parts = parts_of(BINARY)
    assert fit_trees(BINARY, *parts, seed=1).trees == told(fit_trees, BINARY, *parts)[0].trees


def test_what_goes_on_does_not_do_the_rounds_before_again():
    parts = parts_of(BINARY)
    _, states = told(fit_trees, BINARY, *parts)
    steps = []
    whole = fit_trees(BINARY, *parts, seed=1, resume=states[1], on_step=steps.append)
    assert [step.number for step in steps] == list(range(101, len(whole.history) + 1))
    assert {(step.num_steps, step.num_rows) for step in steps} == {(160, parts[0].num_rows)}
    assert float(steps[0].loss) == pytest.approx(whole.history[100].train_loss)


def test_portions_change_nothing_where_all_rows_and_columns_are_seen_and_else_what_is_drawn(monkeypatch):
    parts = parts_of(BINARY)
    all_seen = replace(BINARY, trees=replace(TREES, row_share=1.0, column_share=1.0))
    in_portions = [fit_trees(own, *parts, seed=1).history for own in (BINARY, all_seen)]
    monkeypatch.setattr(boosting, "PORTION_ROUNDS", 1000)
    at_once = [fit_trees(own, *parts, seed=1).history for own in (BINARY, all_seen)]
    assert at_once[1] == in_portions[1]
    assert at_once[0] != in_portions[0]
    assert at_once[0][:50] == in_portions[0][:50]


def test_a_refit_and_one_that_goes_on_from_a_version_end_with_the_same_trees_too():
    parts = parts_of(BINARY)
    found = fit_trees(BINARY, *parts, seed=1)
    start = Start(preparation=found.preparation, trees=found.trees)
    for fits, given, options in (
        (refit_trees, [parts[0]], {"num_rounds": 110, "calibration": found.calibration}),
        (fit_trees, parts, {"start": start}),
        (refit_trees, [parts[0]], {"num_rounds": 110, "calibration": found.calibration, "start": start}),
    ):
        whole, states = told(fits, BINARY, *given, **options)
        for state in states:
            assert fits(BINARY, *given, seed=1, resume=state, **options).trees == whole.trees


def test_a_checkpoint_of_other_rows_or_settings_is_refused():
    parts = parts_of(BINARY)
    state = told(fit_trees, BINARY, *parts)[1][0]
    deeper = replace(BINARY, trees=replace(TREES, depth=4))
    for own, train, seed in ((BINARY, parts[0].slice(1), 1), (deeper, parts[0], 1), (BINARY, parts[0], 2)):
        with pytest.raises(TrainingError, match="other rows, settings or another seed"):
            fit_trees(own, train, parts[1], seed=seed, resume=state)
