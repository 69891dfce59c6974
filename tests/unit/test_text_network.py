"""The network for texts: parts of words, rarity counted while it learns, and what it then tells apart."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from heliostat import Classes, Text
from heliostat.check import check
from heliostat.columns import normalise
from heliostat.errors import WorkloadError
from heliostat.learn.bundle import served
from heliostat.learn.fit import fit
from heliostat.learn.prepare import Preparation
from heliostat.learn.rows import split_by_time
from heliostat.learn.text import TextNetwork, text_network
from heliostat.metrics import log_loss
from heliostat.texts import buckets_of, to_buckets
from tests import toy
from tests.toy_rows import labelled_rows

SMALL = {"num_buckets": 64, "most_terms": 30}
NOTE = Text("note", num_buckets=1 << 12, most_terms=96, letters=(2, 4))
KINDS = (("overheated", "overheating", "overheats"), ("lubricated", "lubricating", "lubricates"))
UNSEEN = ("overheat", "lubricate")


class Notes(toy.Machines):
    """The toy's machines, each with a note of one word, which nearly tells whether the machine failed."""

    def read(self, part):
        table = super().read(part)
        random = np.random.default_rng([3, toy.MONTHS.index(part)])
        failed = table["failed"].fill_null(0.0).to_numpy()
        right = random.random(table.num_rows) < 0.9
        words = [KINDS[int(each)][random.integers(3)] for each in np.where(right, 1 - failed, failed)]
        return table.append_column("note", pa.array([f"was {word} again" for word in words]))


workload = replace(toy.workload, source=Notes(rows_per_part=500), columns=(NOTE,), **text_network(NOTE))


def rows_of(*parts):
    table = pa.concat_tables([workload.source.read(part) for part in parts])
    known = pa.concat_tables([labelled_rows(part, rows_per_part=500) for part in parts])
    return known.append_column("note", table.filter(table["failed"].is_valid())["note"])


def test_runs_of_letters_lie_in_the_upper_half_and_words_in_the_lower():
    found = buckets_of("ab ab", **SMALL, letters=(2, 3))
    words, runs = found[:2], found[2:]
    assert len(set(found)) == len(found) == 2 + 5  # ab and "ab ab"; " a", "ab", "b ", " ab" and "ab "
    assert all(0 < bucket < 32 for bucket in words)
    assert all(32 <= bucket < 64 for bucket in runs)


def test_words_take_a_third_at_most_and_all_terms_stay_within_the_limit():
    found = buckets_of(" ".join(f"word{number}" for number in range(200)), **SMALL, letters=(2, 5))
    assert len(found) == 30
    assert sum(bucket < 32 for bucket in found) == 10


def test_without_letters_the_terms_are_those_of_before():
    values = pa.chunked_array([["a b a", None]])
    assert to_buckets(values, **SMALL).tolist() == [
        [*buckets_of("a b a", **SMALL), *[0] * 25],
        [0] * 30,
    ]


def test_the_letters_survive_the_way_through_a_bundle_and_older_bundles_have_none():
    preparation = Preparation.fit(pa.table({"note": ["a"]}), [NOTE])
    assert Preparation.from_json(preparation.to_json()) == preparation
    older = Preparation.fit(pa.table({"note": ["a"]}), [Text("note")]).to_json().replace(',\n   "letters": null', "")
    assert "letters" not in older
    assert Preparation.from_json(older).texts[0].letters is None


@pytest.mark.parametrize("letters", [(0, 3), (4, 2)])
def test_runs_of_no_length_are_refused(letters):
    with pytest.raises(WorkloadError, match="give \\(fewest, most\\)"):
        Text("note", letters=letters)


def test_a_rare_term_weighs_more_than_a_frequent_one_and_both_halves_weigh_one():
    network = TextNetwork(Text("note", **SMALL, letters=(2, 3)))
    frequent, rare, run = 5, 9, 40
    network.train()
    for other in (rare, 6, 7, 8):
        network({"note": torch.tensor([[frequent, other, run]])})
    network.eval()
    weights = network._weights(torch.tensor([[frequent, rare, run, 0]]))[0]
    assert weights[1] > 1.2 * weights[0]
    assert weights[:2].square().sum() == pytest.approx(1.0)
    assert weights[2:].tolist() == pytest.approx([1.0, 0.0])


def test_words_never_seen_are_told_by_their_parts_and_a_bundle_would_answer_the_same():
    check(workload)
    fitted = fit(workload, *split_by_time(rows_of("2024-01", "2024-02"), share=0.2), seed=1)
    model = served(workload, fitted)
    later = rows_of("2024-03")
    labels = later["label"].to_numpy()
    assert log_loss(labels, model.answers(later)) < 0.4
    unseen = normalise(pa.table({"note": [f"was {word} again" for word in UNSEEN]}), [NOTE])
    high, low = model.answers(unseen)
    assert high > 0.6
    assert low < 0.4
    alone = np.concatenate([model.answers(later.slice(row, 1)) for row in range(20)])
    assert np.allclose(alone, model.answers(later.slice(0, 20)), atol=1e-6)


def test_of_several_classes_each_gets_a_logit_and_an_empty_text_the_bias():
    network = TextNetwork(NOTE, Classes("kind", ("a", "b", "c"))).eval()
    network.bias.data = torch.tensor([1.0, 2.0, 3.0])
    assert network({"note": torch.zeros(2, 96, dtype=torch.int64)}).tolist() == [[1.0, 2.0, 3.0]] * 2
