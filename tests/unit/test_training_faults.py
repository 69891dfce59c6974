"""A mistake in rows or code ends a fit with one sentence: which file and line, which row, what to do next."""

import inspect
import re
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from heliostat.errors import TrainingError
from heliostat.learn.calibrate import Calibration
from heliostat.learn.epochs import Learner
from heliostat.learn.examples import Examples
from heliostat.learn.faults import StepFaultError, first_failing, is_out_of_memory, named
from heliostat.learn.fit import fit, refit
from heliostat.learn.objective import BinaryObjective
from heliostat.learn.prepare import UNKNOWN_CODE, Preparation
from heliostat.learn.rows import ordered, split_by_time
from heliostat.learn.shares import InMemory
from tests.toy import Network, encode, workload
from tests.toy_rows import labelled_rows

QUICK = replace(workload, training=replace(workload.training, epochs=2))
HERE = "test_training_faults.py"


@pytest.fixture(scope="module")
def parts():
    return split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=400), share=0.2)


def said(parts, **changed):
    with pytest.raises(TrainingError) as caught:
        fit(replace(QUICK, **changed), *parts, seed=1)
    return str(caught.value)


def line_of(function, text):
    lines, first = inspect.getsourcelines(function)
    return first + next(number for number, line in enumerate(lines) if text in line)


def odd_row(parts, number=77, *, column="load_percent", value=41.5):
    """The parts with one value that no other row has, and how the row is named."""
    train = parts[0]
    values = train[column].to_pylist()
    values[number] = value
    changed = train.set_column(train.column_names.index(column), column, [values])
    row = train.slice(number, 1).to_pylist()[0]
    return (changed, parts[1]), f"the row with key {row['key']!r} at {row['event_at']:%Y-%m-%dT%H:%M:%S}+0000"


def fails_on_odd(batch):
    if (batch["load_percent"] == 41.5).any():
        raise ValueError("no such load")
    return encode(batch)


def infinite_on_odd(batch):
    encoded = encode(batch)
    encoded["numbers"][torch.from_numpy(batch["load_percent"] == 41.5), 0] = float("inf")
    return encoded


def scaled_by_spread(batch):
    encoded = encode(batch)
    load = torch.from_numpy(batch["load_percent"]).float()
    return {**encoded, "numbers": torch.stack([(load - 50) / (load * 0), *encoded["numbers"].T[1:]], dim=1)}


def short(batch):
    return {**encode(batch), "site": torch.from_numpy(batch["site"][:-1])}


def wide(batch):
    return {**encode(batch), "numbers": torch.cat([encode(batch)["numbers"]] * 2, dim=1)}


def wrong_name(batch):
    return {"numbers": batch["load_percentage"]}


def no_memory(batch):
    raise MemoryError("Unable to allocate 9 TiB")


def large(batch):
    return {**encode(batch), "numbers": encode(batch)["numbers"] * 1e30}


class Huge(Network):
    def forward(self, encoded):
        return super().forward(encoded) + encoded["numbers"].new_ones(2**50).mean()


class Fails(Network):
    def forward(self, encoded):
        if (encoded["numbers"][:, 0] == np.float32(41.5) / 50 - 1).any():
            raise IndexError("no such load")
        return super().forward(encoded)


class Rooted(Network):
    def forward(self, encoded):
        return super().forward(encoded) + (self.site.weight * 0).sum().abs().sqrt()


class Wide(nn.Linear):
    def forward(self, encoded):
        return super().forward(encoded["numbers"])


def no_network(sizes):
    return Network(sizes["sites"])


def log_of_probability(logits, labels):
    return binary_cross_entropy_with_logits(logits, labels) + torch.log(1 - (labels - 1).abs()).mean()


def test_an_exception_in_encode_names_line_row_and_event_time(parts):
    odd, row = odd_row(parts)
    line = line_of(fails_on_odd, "raise ValueError")
    assert said(odd, encode=fails_on_odd) == (
        f"encode failed with ValueError: no such load on {row} ({HERE}, line {line}). "
        "Mend it there, and train under a new name (--run)."
    )


def exits_on_odd(batch):
    if (batch["load_percent"] == 41.5).any():
        sys.exit(3)
    return encode(batch)


def exits_as_loss(logits, labels):
    raise SystemExit


def test_code_that_ends_the_process_is_told_as_any_other_mistake(parts):
    odd, row = odd_row(parts)
    line = line_of(exits_on_odd, "sys.exit")
    assert said(odd, encode=exits_on_odd).startswith(f"encode failed with SystemExit: 3 on {row} ({HERE}, line {line})")
    line = line_of(exits_as_loss, "raise SystemExit")
    assert said(parts, loss=exits_as_loss).startswith(f"loss failed with SystemExit ({HERE}, line {line}). Mend it")


def test_an_exception_on_later_rows_names_them_too(parts):
    (later, _), row = odd_row((parts[1], parts[0]), 5)
    assert f"no such load on {row}" in said((parts[0], later), encode=fails_on_odd)


def test_an_exception_on_every_row_names_none(parts):
    told = said(parts, encode=wrong_name)
    assert told.startswith(f"encode failed with KeyError: 'load_percentage' ({HERE}, line ")
    assert "row with" not in told


def test_nan_from_encode_names_the_row_that_has_it_and_not_those_that_it_spoilt(parts):
    odd, row = odd_row(parts)
    told = said(odd, encode=infinite_on_odd)
    assert told.startswith(f"In epoch 1 the loss became nan: encode gives inf in 'numbers' for {row}, the first of 1 ")
    assert f"({HERE}, line {line_of(infinite_on_odd, 'def infinite')})" in told


def test_a_constant_and_an_empty_column_are_named_where_a_scaler_divides_by_their_spread(parts):
    def flattened(part):
        flat = part.set_column(part.column_names.index("load_percent"), "load_percent", [[50.0] * part.num_rows])
        empty = pa.nulls(part.num_rows, pa.float64())
        return flat.set_column(flat.column_names.index("temperature_c"), "temperature_c", empty)

    told = said(list(map(flattened, parts)), encode=scaled_by_spread)
    assert "load_percent is 50 in every training row, temperature_c has no value in any training row" in told


def test_a_missing_value_is_named_where_encode_passes_it_on(parts):
    def unmarked(batch):
        numbers = np.stack([batch["load_percent"], batch["temperature_c"], batch["load_percent"]], axis=1)
        return {**encode(batch), "numbers": torch.from_numpy(numbers).float()}

    assert "temperature_c is missing there" in said(parts, encode=unmarked)


def test_an_exploding_gradient_names_the_learning_rate_and_the_largest_input(parts):
    told = said(parts, encode=large, training=replace(QUICK.training, learning_rate=1e6))
    assert "every row is finite for a fresh network, so the gradients exploded" in told
    assert "lower the learning rate (now 1e+06)" in told
    assert "in 'numbers' for the row with key" in told


def test_a_gradient_without_a_value_is_told_also_where_no_later_loss_would_show_it(parts):
    rooted = {"model": lambda sizes: Rooted(sizes["site"]), "training": replace(QUICK.training, batch_size=10_000)}
    why = rf"the gradient of its 'site.weight' is not \({HERE}, line \d+\); look for a root"
    with pytest.raises(TrainingError, match=f"In epoch 1 the loss became nan: .*{why}"):
        fit(replace(QUICK, **rooted), *parts, seed=1)
    with pytest.raises(TrainingError, match=f"In epoch 1 a weight of 'site.weight' became nan: .*{why}"):
        refit(replace(QUICK, **rooted), parts[0], num_epochs=1, calibration=Calibration(), seed=1)


def test_a_loss_that_is_not_finite_names_the_row_its_label_and_its_line(parts):
    told = said(parts, loss=log_of_probability)
    line = line_of(log_of_probability, "def log_of")
    assert "the loss is inf for the row with key" in told.replace("-inf", "inf")
    assert "with label 0 and logit" in told
    assert f"({HERE}, line {line}); bound it there." in told


@pytest.mark.parametrize(
    ("changed", "pattern"),
    [
        ({"encode": short}, rf"encode gives 'site' with \d+ rows for \d+ \({HERE}, line \d+\); give one for each"),
        ({"encode": wide}, r"the network failed with RuntimeError: mat1 and mat2 .* \(tests/toy.py, line \d+\)"),
        ({"encode": no_memory}, r"does not suffice for \d+ rows at once; lower Training\(batch_size=128\)"),
        (
            {"model": lambda sizes: Huge(sizes["site"])},
            rf"the network failed with RuntimeError: .*allocate memory.* \({HERE}, line \d+\): the memory does not "
            r"suffice for \d+ rows at once; lower Training\(batch_size=128\), or learn from .* pieces",
        ),
        ({"model": lambda sizes: Wide(3, 1)}, rf"gave \(\d+, 1\) \({HERE}, line \d+\). End its forward with .squeeze"),
        ({"model": no_network}, rf"model failed with KeyError: 'sites' \({HERE}, line \d+\)"),
        ({"loss": lambda logits: logits}, rf"loss failed with TypeError: .*<lambda>.* \({HERE}, line \d+\)"),
    ],
)
def test_a_misfit_is_told_in_one_sentence_with_its_line(parts, changed, pattern):
    with pytest.raises(TrainingError, match=pattern) as caught:
        fit(replace(QUICK, **changed), *parts, seed=1)
    assert "\n" not in str(caught.value)


def test_a_code_that_the_network_has_no_place_for_names_its_row(parts):
    def beyond(batch):
        site = np.where(batch["load_percent"] == 41.5, 1000, batch["site"])
        return {**encode(batch), "site": torch.from_numpy(site)}

    odd, row = odd_row(parts)
    told = said(odd, encode=beyond)
    assert told.startswith(f"the network failed with IndexError: index out of range in self on {row} (tests/toy.py")


def test_a_label_out_of_range_names_its_row_in_every_part(parts):
    for number in (0, 1):
        odd = list(parts)
        changed, row = odd_row((odd[number], None), 3, column="label", value=2.0)
        odd[number] = changed[0]
        told = said(odd)
        assert told.startswith(f"The label of {row} is 2, and 1 of {odd[number].num_rows:,} ")
    with pytest.raises(TrainingError, match="is 2, and 1 of"):
        refit(QUICK, odd[1], num_epochs=1, calibration=Calibration(), seed=1)


def test_one_class_alone_and_no_rows_are_told_before_anything_runs(parts):
    ones = parts[0].filter(pc.equal(parts[0]["label"], 1.0))
    assert "training rows are all 1; both 0 and 1 must occur" in said((ones, parts[1]))
    assert "There are no training rows" in said((parts[0].slice(0, 0), parts[1]))


def test_a_network_changed_since_its_checkpoint_is_refused(parts):
    states = []
    fit(QUICK, *parts, seed=1, on_epoch=states.append)
    with pytest.raises(TrainingError, match="does not fit the network, which was changed since"):
        fit(replace(QUICK, model=lambda sizes: Network(sizes["site"] + 1)), *parts, seed=1, resume=states[0])


def on_device(own, train):
    """A learner of all rows, as on a GPU: any device but "cpu" is not waited for in every step."""
    rows = ordered(train, own, purpose="training")
    seen = Examples.of(rows, Preparation.fit(rows, own.columns))
    network = own.model(seen.origin.preparation.sizes)
    return Learner(own, network, objective=BinaryObjective(), seed=1, device="cpu:0"), seen


def test_where_no_step_looks_at_its_loss_the_end_of_the_epoch_still_names_the_row(parts):
    (train, _), row = odd_row(parts)
    learner, seen = on_device(replace(QUICK, encode=infinite_on_odd), train)
    loss = learner.run_epoch(0, InMemory(seen))
    assert np.isnan(loss)
    assert f"encode gives inf in 'numbers' for {row}, the first of 1 " in learner.asked.not_finite(loss, seen, epoch=0)


def test_where_no_step_looks_at_its_loss_no_checkpoint_is_kept_of_what_it_spoilt(parts):
    (train, _), row = odd_row(parts)
    training = replace(QUICK.training, checkpoint_steps=1)
    learner, seen = on_device(replace(QUICK, encode=infinite_on_odd, training=training), train)
    kept = []
    with pytest.raises(TrainingError, match=f"encode gives inf in 'numbers' for {re.escape(row)}, the first of 1 "):
        learner.run_epoch(0, InMemory(seen), on_pause=lambda *_: kept.append(learner.module.state_dict()))
    assert all(torch.isfinite(weight).all() for state in kept for weight in state.values())


def test_where_a_device_answers_nothing_any_more_the_row_is_looked_for_without_it(parts):
    (train, _), row = odd_row(parts)
    made = []

    def model(sizes):
        made.append(Fails(sizes["site"]))
        return made[-1]

    learner, seen = on_device(replace(QUICK, model=model), train)
    with pytest.raises(TrainingError, match=f"failed with IndexError: no such load on {re.escape(row)}"):
        learner.run_epoch(0, InMemory(seen))
    assert len(made) == 2  # the other is on the CPU


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("can't allocate memory")])
def test_each_way_to_have_no_memory_left_is_known(error):
    assert is_out_of_memory(error)
    assert not is_out_of_memory(ValueError("shape"))


def test_a_step_fault_is_a_training_error_and_the_row_is_found_in_few_tries(parts):
    assert issubclass(StepFaultError, TrainingError)
    assert UNKNOWN_CODE == 0
    tries = []

    class Part:
        def __init__(self, rows):
            self.rows, self.num_rows = rows, len(rows)

        def take(self, rows):
            return Part(self.rows[rows])

    def work(part):
        tries.append(part.num_rows)
        assert 4321 not in part.rows

    assert first_failing(work, Part(np.arange(8192))) == 4321
    assert len(tries) <= 16


TRACEBACK = (
    'Traceback (most recent call last):\n  File "a.py", line 3, in read\n    raise OSError(\nOSError: No space:\n  (\n)'
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("not these columns:\n  Schema(\n    a: int64\n)"), "ValueError: not these columns:"),
        (RuntimeError(TRACEBACK), "RuntimeError: OSError: No space:"),
        (RuntimeError("Traceback\n  ...\nOSError: No space"), "RuntimeError: OSError: No space"),
        (KeyError("a"), "KeyError: 'a'"),
        (MemoryError(), "MemoryError"),
        (ValueError("\n  \n"), "ValueError"),
    ],
)
def test_an_error_is_named_by_the_line_that_says_what_it_is(error, said):
    assert named(error) == said
