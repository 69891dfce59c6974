"""A declaration with a value of another kind is refused in one sentence: which field, what it got, what to give."""

import re
from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import heliostat
from heliostat import (
    Age,
    AtMost,
    BetterThanConstant,
    Between,
    Binary,
    Cache,
    Cascade,
    Category,
    Classes,
    Decay,
    Drift,
    Economics,
    Ensemble,
    Growth,
    Input,
    JointDrift,
    LongAnswers,
    Loop,
    NoSliceWorse,
    NoWorseThanChampion,
    Number,
    OneOf,
    Pool,
    Quantity,
    QuickEnough,
    Replay,
    Scaling,
    Serving,
    Slack,
    SliceDrift,
    Text,
    Training,
    Trees,
    Tuning,
    Vector,
    Watching,
)
from heliostat.declared.revisions import Revision
from heliostat.errors import WorkloadError
from heliostat.metrics import Metric, log_loss

WHOLE = [
    Training(),
    Trees(),
    Loop(),
    Serving(),
    Scaling(),
    Pool(),
    Cache(),
    LongAnswers(),
    Watching(),
    Drift(),
    Growth(),
    Tuning(space={"epochs": OneOf((1, 2))}),
    Between(1, 2),
    OneOf((1, 2)),
    Age(timedelta(days=1)),
    Decay(log_loss, 0.1),
    Economics(value_per_loss=1.0, cost_per_cpu_hour=1.0),
    Replay(since=datetime(2024, 1, 1, tzinfo=UTC), until=datetime(2024, 2, 1, tzinfo=UTC)),
    AtMost(log_loss, 0.5),
    NoWorseThanChampion(log_loss),
    QuickEnough(max_ms=5.0),
    JointDrift(),
    SliceDrift(),
    Slack(0.1),
    BetterThanConstant(log_loss),
    NoSliceWorse(columns=("site",)),
    Binary("failed"),
    Metric("own", lambda labels, answers: 0.0),
    Quantity("wear"),
    Number("load", 0, 1),
    Category("site"),
    Vector("v", 3),
    Text("note"),
    Classes("kind", ("a", "b")),
    Input(column="load", workload="other"),
    Ensemble(weights={"other": 1.0}),
    Cascade(then=("other",)),
    Revision(number=1, columns=(Number("load", 0, 1),), deprecated_at=datetime(2024, 1, 1, tzinfo=UTC)),
]


ELSEWHERE = {"Workload"}  # looks at its fields itself


class Odd:
    """What no field can be."""

    def __repr__(self):
        return "an-odd-thing"


@pytest.mark.parametrize("whole", WHOLE, ids=lambda whole: type(whole).__name__)
def test_every_field_of_every_declaration_refuses_what_is_no_value_at_all(whole):
    given = {each.name: getattr(whole, each.name) for each in fields(whole)}
    for each in fields(whole):
        with pytest.raises(WorkloadError) as caught:
            type(whole)(**{**given, each.name: Odd()})
        told = str(caught.value)
        assert told.startswith(f"{type(whole).__name__}({each.name}=an-odd-thing): {each.name} takes ")
        assert "\n" not in told
        assert told.endswith(".")


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (Training, {"epochs": 2.5}, "Training(epochs=2.5): epochs takes a whole number, and this is of the type float"),
        (Training, {"epochs": "3"}, "epochs takes a whole number, and this is of the type str; give one, or leave"),
        (Training, {"epochs": True}, "epochs takes a whole number, and this is of the type bool"),
        (Training, {"batch_size": 0}, "epochs, batch_size, learning_rate and num_workers must be above 0"),
        (Training, {"learning_rate": float("nan")}, "learning_rate takes a number, and this is not a number; give one"),
        (Training, {"learning_rate": float("inf")}, "learning_rate and num_workers must be above 0"),
        (Training, {"weight_decay": -0.1}, "weight_decay and seed must not be negative"),
        (Training, {"seed": -1}, "weight_decay and seed must not be negative"),
        (Training, {"shard": 1}, "shard takes True or False, and this is of the type int"),
        (Training, {"windows": timedelta(days=1)}, "windows takes a tuple, each of it a timedelta or None"),
        (Training, {"windows": (timedelta(days=-1),)}, "each of windows must be above 0"),
        (Training, {"num_workers": (1, 2, 3)}, "num_workers takes a whole number or (a whole number, a whole number)"),
        (Training, {"fit_time": 60}, "fit_time takes a timedelta or None, and this is of the type int"),
        (Trees, {"learning_rate": float("inf")}, "threads and learning_rate must be above 0"),
        (Loop, {"cooldown": timedelta(days=-1)}, "shadow_span, canary_span and probation must not be negative"),
        (Loop, {"canary_shares": (0.5, float("nan"))}, "canary_shares takes a tuple, each of it a number"),
        (Loop, {"max_archived": -1}, "max_archived must not be negative"),
        (Watching, {"slices": "site"}, "slices takes a tuple, each of it a text, and this is of the type str"),
        (OneOf, {"values": ([1], [2])}, "values takes a tuple, each of it a whole number or a number or a text or"),
        (Tuning, {"space": {"epochs": OneOf((1, 2))}, "seed": -3}, "must not be negative"),
        (Ensemble, {"weights": {"other": "1"}}, "and this is of the type dict, holding 1 (str); give one."),
        (Ensemble, {"weights": {3: 1.0}}, "weights takes a mapping from a text to a number, and this"),
        (Serving, {"scaling": 3}, "scaling takes Scaling or None, and this is of the type int"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_its_field_and_what_to_give(kind, given, said):
    with pytest.raises(WorkloadError) as caught:
        kind(**given)
    assert said in str(caught.value)


def test_numbers_of_numpy_become_plain_ones_and_lists_the_tuples_that_are_meant():
    made = Training(
        epochs=np.int64(3),
        learning_rate=np.float32(0.5),
        shard=np.bool_(True),
        windows=[None],
        num_workers=[1, np.int8(2)],
    )
    assert made == Training(epochs=3, learning_rate=0.5, shard=True, windows=(None,), num_workers=(1, 2))
    assert repr(made) == repr(Training(epochs=3, learning_rate=0.5, shard=True, windows=(None,), num_workers=(1, 2)))
    assert Loop(max_model_ms=5).max_model_ms == 5
    assert repr(Ensemble(weights={"other": np.float64(2)}).weights) == "{'other': 2.0}"


@pytest.mark.parametrize(
    ("made", "meant"),
    [
        (lambda: Classes("grade", range(3)), Classes("grade", (0, 1, 2))),
        (lambda: Classes("grade", {"low": 1, "high": 2}.keys()), Classes("grade", ("low", "high"))),
        (lambda: Classes("grade", np.arange(3)), Classes("grade", (0, 1, 2))),
        (lambda: Category("site", closed={"north", "east"}), Category("site", closed=("east", "north"))),
        (lambda: Category("site", closed=np.array(["a", "b"])), Category("site", closed=("a", "b"))),
        (lambda: OneOf(range(2, 5)), OneOf((2, 3, 4))),
        (lambda: Loop(canary_shares=np.array([0.1, 0.5])), Loop(canary_shares=(0.1, 0.5))),
    ],
)
def test_any_collection_becomes_the_tuple_that_is_meant(made, meant):
    assert repr(made()) == repr(meant)


@pytest.mark.parametrize(
    ("given", "told"),
    [((None, 0.1), "tuple, holding 2 (NoneType, float)"), ([[1], [2]], "list, holding 2 (list)"), ("ab", "str")],
)
def test_what_is_wrong_within_a_collection_is_told(given, told):
    with pytest.raises(WorkloadError, match=re.escape(f"and this is of the type {told}; give one.")):
        OneOf(given)


def test_no_declaration_that_a_user_can_write_is_left_out():
    checked = {type(whole).__name__ for whole in WHOLE}
    declared = [getattr(heliostat, name) for name in heliostat.__all__ if isinstance(getattr(heliostat, name), type)]
    with_options = {
        kind.__name__
        for kind in declared
        if any(each.default is not MISSING for each in getattr(kind, "__dataclass_fields__", {}).values())
    }
    assert with_options - checked <= ELSEWHERE


@pytest.mark.parametrize("given", [5.0, np.float32(5.0), np.int64(5)])
def test_a_whole_number_may_be_written_as_another_number(given):
    made = Training(epochs=given)
    assert (made.epochs, type(made.epochs)) == (5, int)


@pytest.mark.parametrize("given", [float("inf"), float("nan"), 1e-3])
def test_what_is_no_whole_number_is_refused(given):
    with pytest.raises(WorkloadError, match="epochs takes a whole number"):
        Training(epochs=given)
