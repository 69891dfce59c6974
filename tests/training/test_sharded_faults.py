"""A mistake in the code of a network that two workers share: one sentence with line and row, and nobody waits."""

import inspect
import json

import pytest

from tests.training import sharded_faults
from tests.training.ranks import exit_codes

HERE = "sharded_faults.py"
LIMIT_S = 30.0  # the workers would wait for each other 1,800 s


def named(row: int) -> str:
    """How a row is told."""
    found = sharded_faults.parts()[0].slice(row, 1).to_pylist()[0]
    return f"the row with key {found['key']!r} at {found['event_at']:%Y-%m-%dT%H:%M:%S}+0000"


def line_of(function, text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + next(number for number, line in enumerate(lines) if text in line)


@pytest.mark.parametrize(
    ("how", "expected", "is_told_by_all"),
    [
        (
            "encode raises",
            f"encode failed with ValueError: no such load on {{row}} ({HERE}, line "
            f"{line_of(sharded_faults.encode_raises, 'raise ValueError')}). Mend it there",
            False,
        ),
        (
            "encode gives nan",
            "In epoch 1 the loss became nan: encode gives nan in 'numbers' for {row}, the first of 1 such rows among",
            False,
        ),
        (
            "the loss is infinite",
            "In epoch 1 the loss became -inf: the loss is -inf for the row with key '2024-",
            False,
        ),
        (
            "the gradient explodes",
            "so the gradients exploded; lower the learning rate (now 1e+06), or scale what",
            False,
        ),
        (
            "forward raises",
            f"the network failed with ValueError: no such load on {{row}} ({HERE}, line "
            f"{line_of(sharded_faults.Picky, 'raise ValueError')}). Mend it there",
            False,
        ),
        (
            "forward raises at once",
            f"the network failed with ValueError: no such load on {{early_row}} ({HERE}, line "
            f"{line_of(sharded_faults.Picky, 'raise ValueError')}). Mend it there",
            True,
        ),
        (
            "the last step spoils a weight",
            "In epoch 1 a weight of 'layers.2.bias' became nan: for a fresh network the loss is finite, but the "
            f"gradient of its 'layers.2.bias' is not ({HERE}, line {line_of(sharded_faults.of, 'def model')})",
            True,
        ),
    ],
)
def test_a_mistake_ends_a_sharded_fit_in_seconds_with_the_sentence_that_one_process_says(
    tmp_path, how, expected, is_told_by_all
):
    assert exit_codes("tests.training.sharded_faults", tmp_path, 2, how, timeout_s=90) == [0, 0]
    found = [json.loads((tmp_path / f"{how}-{rank}.json").read_text()) for rank in range(2)]
    said = [each["said"] for each in found if "said" in each]
    assert said, found
    rows = {"row": named(sharded_faults.ODD_ROW), "early_row": named(sharded_faults.EARLY_ROW)}
    expected = expected.format(**rows)
    assert all(expected in each and "\n" not in each for each in said), said
    assert len(said) == 2 or not is_told_by_all
    assert max(each["seconds"] for each in found) < LIMIT_S
