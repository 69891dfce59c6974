"""Text columns: hashed the same everywhere, refused when too long, watched by length and by what training never saw."""

from zlib import crc32

import numpy as np
import pyarrow as pa
import pytest
import torch

from heliostat import Category, Number, Text, Vector, texts
from heliostat.columns import normalise, split
from heliostat.errors import ContractError, WorkloadError
from heliostat.learn.prepare import Preparation
from heliostat.learn.tabular import network
from heliostat.learn.trees import COLUMNS, column_types, encode
from heliostat.serving import oip
from heliostat.serving.rows import Contract, RowReader
from heliostat.texts import buckets_of
from heliostat.watch.profile import Profile
from tests.unit.test_rows import DEFAULTS

NOTE = Text("note", max_length=40, num_buckets=1 << 12, most_terms=8, optional=True)
CONTRACT = Contract(columns=(NOTE,), key="id", event_time="at", due_time="due")
COLD, WARM = "the valve is cold and stiff", "warm bearing runs smooth"


def prepared(*texts):
    table = pa.table({"note": pa.array(texts, pa.string())})
    return Preparation.fit(table, [NOTE]).prepare(table)["note"]


def test_a_term_has_the_same_bucket_on_every_machine():
    assert buckets_of("Cold valve", num_buckets=1000, most_terms=9) == [
        1 + crc32(term) % 999 for term in (b"cold", b"valve", b"cold valve")
    ]


def test_words_come_before_pairs_and_what_is_over_the_limit_is_left_out():
    assert len(buckets_of(" ".join("abcdefgh"), num_buckets=1000, most_terms=5)) == 5
    assert buckets_of("", num_buckets=1000, most_terms=5) == []
    assert buckets_of("--- !", num_buckets=1000, most_terms=5) == []


def test_a_word_of_a_million_letters_costs_no_more_than_a_long_text(monkeypatch):
    runs, seen = texts._runs, []

    def counted(*given):
        for run in runs(*given):
            seen.append(run)
            yield run

    monkeypatch.setattr(texts, "_runs", counted)
    repeated = buckets_of("ab" * 500_000, num_buckets=1000, most_terms=16, letters=(2, 5))
    assert len(repeated) == 1 + len({" a", "ab", "ba", "b "} - {"b "}), "the end of the word is never reached"
    assert len(seen) <= texts.RUNS_LOOKED_AT * 16
    seen.clear()
    letters = "".join(chr(ord("a") + number * number % 26) + chr(ord("a") + number // 7 % 26) for number in range(300))
    assert len(buckets_of(letters * 1000, num_buckets=1000, most_terms=16, letters=(2, 5))) == 16
    assert len(seen) < 100


def test_texts_are_prepared_row_by_row_and_a_missing_one_has_no_terms():
    found = prepared("a b", None, "a")
    assert found.shape == (3, 8)
    assert (found > 0).sum(axis=1).tolist() == [3, 0, 1]
    assert np.array_equal(found[2:], prepared("a"))


def test_the_hashing_survives_the_way_through_a_bundle():
    preparation = Preparation.fit(pa.table({"note": ["a"]}), [NOTE])
    assert Preparation.from_json(preparation.to_json()) == preparation


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("x" * 41, "row 0: column 'note' must have at most 40 characters"),
        (7, "must be text"),
        (["a"], "must be text"),
        (True, "must be text"),
    ],
)
def test_what_is_no_text_of_the_contract_is_refused(value, said):
    with pytest.raises(ContractError, match=said):
        RowReader(CONTRACT).from_rows([{"note": value}], DEFAULTS)


def test_characters_are_counted_and_not_bytes():
    assert RowReader(CONTRACT).from_rows([{"note": "ü" * 40}, {}], DEFAULTS).values_by_column["note"][1] is None
    with pytest.raises(ContractError, match="at most 40"):
        RowReader(CONTRACT).from_columns({"note": pa.array(["ü" * 41])}, DEFAULTS)


def test_a_source_puts_texts_that_are_too_long_aside():
    good, rejected = split(normalise(pa.table({"note": ["a", "b" * 99, None]}), [NOTE]), [NOTE])
    assert (good.num_rows, rejected.num_rows) == (2, 1)


def test_texts_are_bytes_in_the_inference_protocol():
    (found, *_) = oip.metadata([NOTE], [], model="m", versions=[1])["inputs"]
    assert found == {"name": "note", "datatype": "BYTES", "shape": [-1]}


@pytest.mark.parametrize("wrong", [{"max_length": 0}, {"num_buckets": 2}, {"most_terms": 0}])
def test_a_text_that_cannot_be_is_refused_when_declared(wrong):
    with pytest.raises(WorkloadError, match="Text"):
        Text("note", **wrong)


def test_trees_leave_texts_out():
    columns = [Number("x", 0, 9), Category("site"), NOTE, Vector("v", 2)]
    table = pa.table({"x": [1.0, 2.0], "site": ["a", "b"], "note": ["a", "b"], "v": [[1.0, 2], [3.0, 4]]})
    preparation = Preparation.fit(normalise(table, columns), columns)
    shown = encode(preparation.prepare(normalise(table, columns)))[COLUMNS]
    assert shown.shape == (2, len(column_types(preparation))) == (2, 4)


def test_the_network_for_tables_learns_from_words():
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 400)
    texts = [f"{random.integers(1000)} {(COLD, WARM)[label]} {random.integers(1000)}" for label in labels]
    made = network([NOTE], hide=0.0)
    table = pa.table({"note": texts})
    preparation = Preparation.fit(table, [NOTE])
    torch.manual_seed(1)
    module = made["model"](preparation.sizes).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    encoded, wanted = made["encode"](preparation.prepare(table)), torch.from_numpy(labels.astype(np.float32))
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(module(encoded), wanted).backward()
        optimizer.step()
    unseen = pa.table({"note": [f"{COLD} 5000", f"{WARM} 6000"]})
    found = module.eval()(made["encode"](preparation.prepare(unseen))).sigmoid().tolist()
    assert found[0] < 0.2
    assert found[1] > 0.8


def test_new_words_and_other_lengths_are_drift_and_the_same_words_are_none():
    random = np.random.default_rng(3)
    words = [f"word{number}" for number in range(60)]

    def texts(vocabulary, num_words):
        return pa.table({"note": [" ".join(random.choice(vocabulary, num_words)) for _ in range(600)]})

    column = Text("note", most_terms=12)
    answers = np.full(600, 0.5)
    profile = Profile.from_json(Profile.fit(texts(words, 4), [column], answers).to_json())

    def drift(table):
        found = profile.compare(profile.count(table, answers))
        return {name: drift.psi - drift.floor for name, drift in found.items()}

    calm, new, long = drift(texts(words, 4)), drift(texts([f"x{w}" for w in words], 4)), drift(texts(words, 6))
    assert max(calm.values()) < 0.2
    assert new["note:unseen terms"] > 1
    assert long["note:terms"] > 1
