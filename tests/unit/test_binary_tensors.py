"""The binary-tensor extension against bytes written by hand, as its specification words them."""

import pyarrow as pa
import pytest

from heliostat.columns import Category, Number
from heliostat.serving import oip
from heliostat.serving.binary_tensors import encode, split
from heliostat.serving.problem import MalformedError, TooLargeError

COLUMNS = [Number("load", low=-1000, high=1000), Category("site")]
# 1.0 and -2.0 as IEEE 754 doubles, least byte first.
ONE_MINUS_TWO = bytes.fromhex("000000000000f03f 00000000000000c0")
# "a", "", "né" (three bytes in UTF-8), each behind its length.
TEXTS = bytes.fromhex("01000000 61 00000000 03000000 6ec3a9")


def tensor(name, datatype, shape, size):
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def decode(tail, *inputs, **others):
    body = b"{}" + tail
    return oip.decode({"inputs": list(inputs), **others}, COLUMNS, tail=split(body, "2")[1], max_rows=100)


def plain(values):
    return values.to_pylist() if isinstance(values, pa.Array) else values


@pytest.mark.parametrize(
    ("datatype", "raw", "values"),
    [
        ("FP64", ONE_MINUS_TWO, [1.0, -2.0]),
        ("FP32", bytes.fromhex("0000803f 000000c0"), [1.0, -2.0]),
        ("FP16", bytes.fromhex("003c 00c0"), [1.0, -2.0]),
        ("INT8", bytes.fromhex("01 fe"), [1, -2]),
        ("INT16", bytes.fromhex("0100 feff"), [1, -2]),
        ("INT32", bytes.fromhex("01000000 feffffff"), [1, -2]),
        ("INT64", bytes.fromhex("0100000000000000 feffffffffffffff"), [1, -2]),
        ("UINT8", bytes.fromhex("01 fe"), [1, 254]),
        ("UINT16", bytes.fromhex("0100 0302"), [1, 515]),
        ("UINT32", bytes.fromhex("01000000 03020000"), [1, 515]),
        ("UINT64", bytes.fromhex("0100000000000000 0302000000000000"), [1, 515]),
    ],
)
def test_numbers_are_little_endian_and_dense(datatype, raw, values):
    inference = decode(raw, tensor("load", datatype, [2], len(raw)))
    assert plain(inference.values_by_name["load"]) == values


def test_texts_stand_behind_their_lengths():
    assert decode(TEXTS, tensor("site", "BYTES", [3], len(TEXTS))).values_by_name["site"] == ["a", "", "né"]


def test_tensors_take_their_bytes_in_the_order_of_the_json_and_json_tensors_take_none():
    in_json = {"name": "key", "datatype": "BYTES", "shape": [3], "data": ["k", "l", "m"]}
    raw = TEXTS + ONE_MINUS_TWO + ONE_MINUS_TWO[:8]
    inference = decode(raw, tensor("site", "BYTES", [3], len(TEXTS)), in_json, tensor("load", "FP64", [3, 1], 24))
    assert {name: plain(values) for name, values in inference.values_by_name.items()} == {
        "site": ["a", "", "né"],
        "key": ["k", "l", "m"],
        "load": [1.0, -2.0, 1.0],
    }


def test_aligned_numbers_are_not_copied():
    body = b" " * 16 + ONE_MINUS_TWO
    _, tail = split(body, "16")
    load = tensor("load", "FP64", [2], 16)
    values = oip.decode({"inputs": [load]}, COLUMNS, tail=tail, max_rows=9).values_by_name["load"]
    # A bytes object begins 8 bytes off a multiple of 16 or on it: either way these are aligned.
    assert values.buffers()[1].address == pa.py_buffer(body).address + 16
    assert plain(values) == [1.0, -2.0]


@pytest.mark.parametrize(
    ("tail", "sent", "word"),
    [
        (ONE_MINUS_TWO, tensor("load", "FP64", [3], 16), "'load' of 3 FP64 takes 24 bytes.*16"),
        (ONE_MINUS_TWO, tensor("load", "FP32", [2], 16), "'load' of 2 FP32 takes 8 bytes.*16"),
        (ONE_MINUS_TWO, tensor("load", "FP64", [2], 24), "'load'.*24.*16 bytes left"),
        (ONE_MINUS_TWO, tensor("load", "FP64", [1], 8), "8 bytes that belong to no input"),
        (ONE_MINUS_TWO, tensor("load", "FP64", [-2], 16), "'load'.*shape.*-2"),
        (ONE_MINUS_TWO, tensor("load", "FP64", [2], -16), "'load': binary_data_size.*-16"),
        (ONE_MINUS_TWO, tensor("load", "FP64", [2], "16"), "'load': binary_data_size"),
        (ONE_MINUS_TWO, tensor("load", "FP64", [2], True), "'load': binary_data_size"),
        (ONE_MINUS_TWO, tensor("load", "BF16", [8], 16), "'load' must have datatype"),
        (ONE_MINUS_TWO, tensor("load", "BYTES", [2], 16), "'load' must have datatype"),
        (ONE_MINUS_TWO, {**tensor("load", "FP64", [2], 16), "data": [1, 2]}, "'load' has both"),
        (ONE_MINUS_TWO, {**tensor("load", "FP64", [2], 16), "parameters": 3}, "parameters"),
        (TEXTS, tensor("site", "BYTES", [4], len(TEXTS)), "'site' ends inside element 3 of 4"),
        (TEXTS[:-1], tensor("site", "BYTES", [3], len(TEXTS) - 1), "'site' ends inside element 2 of 3"),
        (TEXTS, tensor("site", "BYTES", [2], len(TEXTS)), "'site' has 7 bytes after its 2 elements"),
        (b"\xff\xff\xff\xffa", tensor("site", "BYTES", [1], 5), "'site' ends inside element 0"),
        (b"\x01\0\0\0\xff", tensor("site", "BYTES", [1], 5), "'site': element 0 is no text"),
    ],
)
def test_bytes_that_do_not_fit_are_malformed_and_name_the_tensor(tail, sent, word):
    with pytest.raises(MalformedError, match=word):
        decode(tail, sent)


def test_too_many_elements_are_refused_before_they_are_read():
    with pytest.raises(TooLargeError, match="'site' has 101 rows"):
        decode(b"\0\0\0\0" * 101, tensor("site", "BYTES", [101], 404))


@pytest.mark.parametrize("header_length", ["0", "-1", "3", "x", "", "2.0", "²", "9" * 400])
def test_a_header_length_that_is_not_inside_the_body_is_malformed(header_length):
    with pytest.raises(MalformedError, match="Inference-Header-Content-Length"):
        split(b"{}", header_length)


@pytest.mark.parametrize(
    ("values", "datatype", "raw"),
    [
        ([1.0, -2.0], "FP64", ONE_MINUS_TWO),
        ([1, 515], "INT32", bytes.fromhex("01000000 03020000")),
        (["a", "", "né"], "BYTES", TEXTS),
    ],
)
def test_outputs_are_the_same_bytes(values, datatype, raw):
    assert encode(values, datatype) == raw


def test_each_output_is_json_or_bytes_as_it_was_asked_for():
    load = {"name": "load", "datatype": "FP64", "shape": [1], "data": [1.0]}
    wanted = [{"name": "id", "parameters": {"binary_data": False}}, {"name": "probability"}]
    inference = decode(b"", load, outputs=wanted, parameters={"binary_data_output": True})
    assert inference.is_binary_by_output == {"id": False, "probability": True}
    document, tail = oip.encode(
        {"id": ["x"], "probability": [1.0]},
        model="toy",
        version=3,
        request_id="7",
        is_binary_by_output=inference.is_binary_by_output,
    )
    assert document["outputs"] == [
        {"name": "id", "shape": [1], "datatype": "BYTES", "data": ["x"]},
        {"name": "probability", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}},
    ]
    assert tail == ONE_MINUS_TWO[:8]
