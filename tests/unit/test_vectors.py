"""Vector columns: one length, finite numbers within their limits, and the same matrix however they travel."""

import math
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch

from heliostat.columns import Category, Number, Vector, normalise, split, violations
from heliostat.declared.cache import Cache
from heliostat.declared.revisions import Revision, refuse_unfit
from heliostat.errors import ContractError, WorkloadError
from heliostat.learn.network import tensor
from heliostat.learn.prepare import Preparation
from heliostat.learn.rows import ordered
from heliostat.learn.trees import COLUMNS as TREE_COLUMNS
from heliostat.learn.trees import column_types
from heliostat.learn.trees import encode as encode_for_trees
from heliostat.serving import oip, oip_messages
from heliostat.serving.answer_cache import AnswerCache
from heliostat.serving.binary_tensors import Tail
from heliostat.serving.generated import open_inference_pb2 as pb
from heliostat.serving.problem import MalformedError, TooLargeError
from heliostat.serving.rows import Contract, RowReader
from heliostat.serving.vector_cells import plainly_kept
from heliostat.vectors import from_matrix, to_matrix
from heliostat.watch.coding import CONFIDENCE
from heliostat.watch.profile import OUTPUT, Profile
from tests.unit.test_rows import DEFAULTS

PIXELS = Vector("pixels", 3, low=0, high=1)
SOUND = Vector("sound", 2, optional=True)
CONTRACT = Contract(columns=(PIXELS, SOUND), key="id", event_time="at", due_time="due")
MATRIX = np.array([[0, 0.5, 1], [0.1, 0.2, 0.3]], np.float32)
KIND = pa.list_(pa.float32())


def read(*rows):
    return RowReader(CONTRACT).from_rows(list(rows), DEFAULTS).values_by_column


def read_columns(**columns):
    return RowReader(CONTRACT).from_columns(columns, DEFAULTS).values_by_column


def refusal(*rows):
    with pytest.raises(ContractError) as caught:
        read(*rows)
    return str(caught.value)


def reasons(values, column=PIXELS):
    return [str(one) for one in violations(normalise(pa.table({column.name: values}), [column]), [column])]


def test_a_list_of_numbers_becomes_one_row_of_a_float32_matrix():
    found = read({"pixels": [0, 0.5, 1]}, {"pixels": [0.1, 0.2, 0.3], "sound": [7, -7]})
    assert to_matrix(found["pixels"], length=3).tolist() == MATRIX.tolist()
    assert found["sound"].to_pylist() == [None, [7.0, -7.0]]
    assert {found["pixels"].type, found["sound"].type} == {KIND}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([0, 1], "row 0: column 'pixels' must have 3 numbers; got 2"),
        ([0, 1, 0, 1], "row 0: column 'pixels' must have 3 numbers; got 4"),
        ([], "must have 3 numbers; got 0"),
        ([[0, 1, 0]], "must have 3 numbers; got 1"),
        ([[0], [1], [0]], "must be a list of 3 numbers; component 0 is none; got [0]"),
        ("abc", "must be a list of 3 numbers; got 'abc'"),
        (["a", "b", "c"], "component 0 is none; got 'a'"),
        ([0, None, 1], "component 1 is none; got None"),
        ([0, True, 1], "component 1 is none; got True"),
        ({"0": 1}, "must be a list of 3 numbers; got {'0': 1}"),
        (0.5, "must be a list of 3 numbers; got 0.5"),
        (None, "must not be null; got None"),
        ([0, math.nan, 1], "must hold finite numbers; component 1 is none; got nan"),
        ([0, math.inf, 1], "must hold finite numbers; component 1 is none; got inf"),
        ([0, 1e300, 1], "must hold finite numbers; component 1 is none; got inf"),
        ([0, 10**400, 1], "must hold finite numbers; component 1 is too large"),
        ([0, 0.5, 1.5], "must hold numbers between 0 and 1; component 2 is outside; got 1.5"),
        ([-0.1, 0.5, 1], "component 0 is outside; got -0.1"),
    ],
)
def test_what_is_no_vector_of_the_contract_is_refused_with_row_column_and_component(value, said):
    assert said in refusal({"pixels": value})
    assert said.replace("row 0", "row 1") in refusal({"pixels": [0, 0, 0]}, {"pixels": value})


def test_a_limit_that_float32_cannot_hold_exactly_is_still_allowed():
    column = Vector("x", 1, low=0.1, high=0.7)
    rows = RowReader(Contract(columns=(column,), key="id", event_time="at", due_time="due"))
    assert rows.from_rows([{"x": [0.1]}, {"x": [0.7]}], DEFAULTS).num_rows == 2


@pytest.mark.parametrize(
    "values",
    [
        from_matrix(MATRIX),
        pa.array(MATRIX.tolist(), pa.list_(pa.float32(), 3)),
        pa.array(MATRIX.tolist(), pa.large_list(pa.float64())),
        pa.array(MATRIX.tolist(), pa.list_(pa.float16())),
        pa.FixedShapeTensorArray.from_numpy_ndarray(MATRIX.reshape(2, 3, 1)),
    ],
    ids=lambda values: str(values.type)[:40],
)
def test_arrow_lists_of_any_kind_and_tensors_are_read_as_one_matrix(values):
    found = read_columns(pixels=values)["pixels"]
    assert found.type == KIND
    assert np.allclose(to_matrix(found, length=3), MATRIX, atol=1e-3)


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["0,1,0"]),
        pa.array([["a", "b", "c"]]),
        pa.array([0.5]),
        pa.array([[True, False, True]]),
        pa.array([[[0.0, 1.0, 0.0]]]),
    ],
    ids=lambda values: str(values.type)[:40],
)
def test_arrow_columns_of_another_type_are_refused_by_name(values):
    with pytest.raises(ContractError, match="'pixels' must be lists of 3 numbers; got Arrow type"):
        read_columns(pixels=values)


@pytest.mark.parametrize(
    ("cells", "said"),
    [([[0, 1]], "row 1: column 'pixels' must have 3 numbers; got 2"), ([[0, None, 1]], "row 1"), ([None], "row 1")],
)
def test_a_broken_vector_among_arrow_rows_is_named_by_its_row(cells, said):
    with pytest.raises(ContractError, match=said):
        read_columns(pixels=pa.array([[0, 0, 0], *cells], KIND))


def test_from_a_callers_bytes_to_the_tensor_nothing_is_copied():
    body = MATRIX.tobytes()
    inference = oip.decode(
        {"inputs": [v2_tensor(shape=[2, 3], parameters={"binary_data_size": len(body)})]},
        CONTRACT.columns,
        tail=Tail(body),
        max_rows=10,
    )
    cells = RowReader(CONTRACT).from_columns(inference.values_by_name, DEFAULTS).values_by_column
    table = pa.table({"pixels": cells["pixels"], "sound": pa.nulls(2, KIND)})
    prepared = Preparation.fit(table, CONTRACT.columns).prepare(table)
    found = tensor(prepared["pixels"])
    assert found.dtype == torch.float32
    assert found.tolist() == MATRIX.tolist()
    assert found.data_ptr() == pa.py_buffer(body).address


def v2_tensor(**others):
    return {"name": "pixels", "shape": [1, 3], "datatype": "FP32", **others}


@pytest.mark.parametrize("data", [MATRIX.ravel().tolist(), MATRIX.tolist()], ids=["flat", "nested"])
def test_a_json_tensor_of_rows_and_numbers_is_read(data):
    document = {"inputs": [v2_tensor(shape=[2, 3], data=data)]}
    found = oip.decode(document, CONTRACT.columns, max_rows=10).values_by_name
    assert to_matrix(read_columns(**found)["pixels"], length=3).tolist() == MATRIX.tolist()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"shape": [3], "data": [0, 0, 0]}, r"must have the shape \[n, 3\]"),
        ({"shape": [1, 4], "data": [0, 0, 0, 0]}, r"must have the shape \[n, 3\]"),
        ({"shape": [1, 3, 1], "data": [0, 0, 0]}, r"must have the shape \[n, 3\]"),
        ({"shape": [-1, 3], "data": [0, 0, 0]}, r"must have the shape \[n, 3\]"),
        ({"shape": [], "data": [0, 0, 0]}, r"must have the shape \[n, 3\]"),
        ({"shape": [2, 3], "data": [0, 0, 0]}, "takes 6 numbers in `data`; got 3"),
        ({"shape": [1, 3], "data": [[0, 0, 0], [1, 1, 1]]}, "takes 3 numbers in `data`; got 6"),
        ({"datatype": "BYTES", "data": ["a", "b", "c"]}, "must have datatype"),
        ({"parameters": {"binary_data_size": 8}}, "of 3 FP32 takes 12 bytes; got 8"),
    ],
)
def test_a_tensor_of_another_shape_size_or_datatype_is_malformed(wrong, said):
    with pytest.raises(MalformedError, match=said):
        oip.decode({"inputs": [v2_tensor(**wrong)]}, CONTRACT.columns, tail=Tail(b"12345678"), max_rows=10)


def test_a_tensor_of_too_many_rows_is_too_large():
    with pytest.raises(TooLargeError, match="11 rows"):
        oip.decode({"inputs": [v2_tensor(shape=[11, 3], data=[0] * 33)]}, CONTRACT.columns, max_rows=10)


def test_metadata_says_how_many_numbers_a_vector_has():
    found = oip.metadata(CONTRACT.columns, ["key"], model="m", versions=[1])["inputs"]
    assert found[0] == {"name": "pixels", "datatype": "FP32", "shape": [-1, 3]}


@pytest.mark.parametrize("is_raw", [True, False])
def test_a_grpc_tensor_of_rows_and_numbers_is_read(is_raw):
    message = pb.ModelInferRequest()
    one = message.inputs.add(name="pixels", datatype="FP32", shape=[2, 3])
    if is_raw:
        message.raw_input_contents.append(MATRIX.tobytes())
    else:
        one.contents.fp32_contents.extend(MATRIX.ravel().tolist())
    found = oip_messages.decode(message, CONTRACT.columns, max_rows=2).values_by_name
    assert to_matrix(read_columns(**found)["pixels"], length=3).tolist() == MATRIX.tolist()


def test_typed_grpc_values_of_too_many_rows_or_another_number_are_refused():
    message = pb.ModelInferRequest()
    one = message.inputs.add(name="pixels", datatype="FP32", shape=[2, 3])
    one.contents.fp32_contents.extend([0.0] * 9)
    with pytest.raises(TooLargeError):
        oip_messages.decode(message, CONTRACT.columns, max_rows=2)
    with pytest.raises(MalformedError, match="takes 24 bytes; got 36"):
        oip_messages.decode(message, CONTRACT.columns, max_rows=3)


def test_a_source_loses_no_row_to_a_vector_of_another_length():
    table = pa.table({"pixels": [[0.0, 1, 0], [0.0], None, [0, math.nan, 0], [0, 2, 0]], "sound": [None] * 5})
    good, rejected = split(table, (PIXELS, SOUND))
    assert good["pixels"].to_pylist() == [[0.0, 1, 0]]
    assert len(rejected) == 4
    assert rejected["reason"][0].as_py() == "pixels must have 3 numbers; got 1"


def test_vectors_in_several_chunks_are_judged_by_their_own_row():
    values = pa.chunked_array([pa.array([[0, 0, 0], None], KIND), pa.array([[0, 0], [0, 0, 9]], KIND)])
    assert reasons(values, Vector("pixels", 3, low=-5, high=1, optional=True)) == [
        "row 2: column 'pixels' must have 3 numbers; got 2",
        "row 3: column 'pixels' must hold numbers between -5 and 1; component 2 is outside; got 9.0",
    ]


@pytest.mark.parametrize("wrong", [{"length": 0}, {"length": 2, "low": 1, "high": 1}, {"length": 10**7}])
def test_a_vector_that_cannot_be_is_refused_when_declared(wrong):
    with pytest.raises(WorkloadError, match="Vector"):
        Vector("x", **wrong)


def test_a_revision_cannot_change_the_length_of_a_vector():
    earlier = Revision(number=1, columns=(Vector("pixels", 4),), deprecated_at=datetime(2024, 1, 1, tzinfo=UTC))
    with pytest.raises(WorkloadError, match="changes from a list of 4 numbers to a list of 3 numbers"):
        refuse_unfit((PIXELS,), [earlier], current=2)


def test_a_revision_may_derive_a_vector_from_numbers():
    revision = Revision(
        number=1,
        columns=(Number("a", 0, 1), Number("b", 0, 1)),
        deprecated_at=datetime(2024, 1, 1, tzinfo=UTC),
        derive={"pixels": lambda rows: np.stack([rows["a"], rows["b"], rows["b"]], axis=1)},
    )
    contract = Contract(columns=(PIXELS,), key="id", event_time="at", due_time="due", revision=2, earlier=(revision,))
    found = RowReader(contract, revision).from_rows([{"a": 0, "b": 1}], DEFAULTS).values_by_column
    assert found["pixels"].to_pylist() == [[0, 1, 1]]


def test_a_missing_vector_is_nan_when_training_saw_some_and_the_mean_when_not():
    table = pa.table({"sound": pa.array([[1, 2], [3, 4], None], KIND)})
    seen = Preparation.fit(table, [SOUND], rare_below=1)
    unseen = Preparation.fit(table, [SOUND], rare_below=2)
    assert np.isnan(seen.prepare(table)["sound"][2]).all()
    assert unseen.prepare(table)["sound"].tolist() == [[1, 2], [3, 4], [2, 3]]
    assert Preparation.from_json(unseen.to_json()) == unseen


def test_trees_take_the_numbers_of_a_vector_as_columns():
    table = pa.table({"load": [1.0, 2.0], "pixels": from_matrix(MATRIX), "site": ["a", "b"]})
    preparation = Preparation.fit(table, [Number("load", 0, 9), PIXELS, Category("site")], rare_below=1)
    assert encode_for_trees(preparation.prepare(table))[TREE_COLUMNS].shape == (2, 5)
    assert column_types(preparation) == ["q", "c", "q", "q", "q"]


def test_training_rows_are_in_one_order_however_they_arrived():
    at = [datetime(2024, 1, 1, tzinfo=UTC)] * 4
    vectors = [[0.0, 1, 0], [1.0, 0, 0], [0.0, 1, 1], [0.5, 0.5, 0.5]]
    table = pa.table({"key": ["a", "a", "b", "a"], "event_at": at, "label": [0.0, 0.0, 1.0, 0.0], "pixels": vectors})
    workload = SimpleNamespace(columns=(PIXELS,))
    first = ordered(table, workload, purpose="training")
    assert first == ordered(table.take([3, 1, 0, 2]), workload, purpose="training")
    assert first["key"].to_pylist() == ["a", "a", "a", "b"]


def profile_of(matrix):
    return Profile.fit(pa.table({"pixels": from_matrix(matrix)}), [PIXELS], np.full(len(matrix), 0.5))


def drift_of(profile, matrix):
    counts = profile.count(pa.table({"pixels": from_matrix(matrix)}), np.full(len(matrix), 0.5))
    return max(drift.psi - drift.floor for name, drift in profile.compare(counts).items() if name.startswith("pixels:"))


def test_a_vector_is_watched_by_five_numbers_whatever_its_length():
    names = [one.name for one in profile_of(np.random.default_rng(1).random((500, 3))).bins]
    assert names == ["pixels:norm", *(f"pixels:direction {place}" for place in (1, 2, 3, 4)), CONFIDENCE, OUTPUT]


def test_vectors_that_move_are_drift_and_vectors_that_stay_are_none():
    random = np.random.default_rng(2)
    column = Vector("pixels", 64)
    reference = random.normal(size=(4000, 64)).astype(np.float32)
    profile = Profile.fit(pa.table({"pixels": from_matrix(reference)}), [column], np.full(4000, 0.5))
    again = Profile.from_json(profile.to_json())
    assert drift_of(again, random.normal(size=(2000, 64)).astype(np.float32)) < 0.1
    assert drift_of(again, random.normal(loc=0.3, size=(2000, 64)).astype(np.float32)) > 0.25
    assert drift_of(again, random.normal(scale=1.2, size=(2000, 64)).astype(np.float32)) > 0.25


def test_counts_of_vectors_add_up_exactly_over_any_batches():
    matrix = np.random.default_rng(3).random((700, 3), np.float32)
    profile, answers = profile_of(matrix), np.full(700, 0.5)
    table = pa.table({"pixels": from_matrix(matrix)})
    parts = [profile.count(table.slice(start, 7), answers[:7]) for start in range(0, 700, 7)]
    assert sum(parts[1:], parts[0]) == profile.count(table, answers)


def test_cells_that_nobody_sent_are_counted_for_no_number_of_a_vector():
    matrix = np.random.default_rng(4).random((40, 3), np.float32)
    unsent = {"pixels": np.arange(40) < 30}
    counts = profile_of(matrix).count(pa.table({"pixels": from_matrix(matrix)}), np.full(40, 0.5), unsent=unsent)
    assert {sum(found) for name, found in counts.by_column.items() if name.startswith("pixels:")} == {10}


def test_equal_vectors_are_answered_from_the_cache_and_others_are_not():
    asked = []

    def ask(table):
        asked.append(table.num_rows)
        return np.arange(table.num_rows, dtype=np.float64)

    cache = AnswerCache(Cache(), clock=lambda: 0.0)
    cache.answers("1", pa.table({"pixels": from_matrix(MATRIX)}), ask=ask)
    cache.answers("1", pa.table({"pixels": from_matrix(MATRIX)}), ask=ask)
    cache.answers("1", pa.table({"pixels": from_matrix(MATRIX + np.float32(0.1))}), ask=ask)
    assert asked == [2, 2]


@pytest.mark.parametrize("num_rows", [1, 2, 40])
def test_few_and_many_lists_become_the_same_float32(num_rows):
    drawn = np.random.default_rng(num_rows).normal(size=(num_rows, 5)).tolist()
    drawn[0] = [2**53 + 1, 1e-42, -0.0, 16777217, 0.1]
    found = plainly_kept(drawn, Vector("v", 5))
    assert to_matrix(found, length=5).tobytes() == np.array(drawn, np.float64).astype(np.float32).tobytes()


@pytest.mark.parametrize("num_rows", [1, 40])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e39, 10**400, True, None, "1", 5.01])
def test_few_and_many_lists_are_not_plain_with_one_wrong_number(num_rows, wrong):
    values = [[0.0] * 5 for _ in range(num_rows)]
    values[-1][3] = wrong
    assert plainly_kept(values, Vector("v", 5, low=-5, high=5)) is None


def test_a_piece_of_a_column_of_vectors_is_its_own_rows():
    matrix = np.arange(20, dtype=np.float32).reshape(5, 4)
    column = from_matrix(matrix)
    for piece, rows in ((column, matrix), (column.slice(1, 3), matrix[1:4]), (column.slice(0, 2), matrix[:2])):
        assert np.array_equal(to_matrix(piece, length=4), rows)
