import pytest

from heliostat.columns import Category, Number
from heliostat.serving import oip
from heliostat.serving.problem import MalformedError

COLUMNS = [Number("load", low=0, high=100), Category("site")]


def tensor(name="load", datatype="FP64", data=(1.0, 2.0), shape=None):
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": list(data)}


def decode(document):
    return oip.decode(document, COLUMNS, max_rows=100)


SITE = tensor("site", "BYTES", ["a", "b"])


def test_one_tensor_a_column():
    inference = decode({"id": "7", "inputs": [tensor(), SITE], "parameters": {"key": "k"}})
    assert inference.values_by_name == {"load": [1.0, 2.0], "site": ["a", "b"]}
    assert (inference.id, inference.parameters) == ("7", {"key": "k"})
    assert inference.is_binary_by_output == dict.fromkeys(["probability", "confidence", "id", "model_version"], False)


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT64", "UINT8"])
def test_numbers_come_in_any_numeric_type(datatype):
    inference = decode({"inputs": [tensor(datatype=datatype, data=[1, 2])]})
    assert inference.values_by_name["load"] == [1, 2]


def test_a_column_vector_is_flattened():
    inference = decode({"inputs": [tensor(data=[[1.0], [2.0]], shape=[2, 1])]})
    assert inference.values_by_name["load"] == [1.0, 2.0]


def test_what_is_no_column_is_text():
    inference = decode({"inputs": [tensor("key", "BYTES", ["k"])]})
    assert inference.values_by_name == {"key": ["k"]}


@pytest.mark.parametrize(
    ("document", "word"),
    [
        (None, "inputs"),
        ([], "inputs"),
        ({}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [3]}, "name"),
        ({"inputs": [{"name": 3}]}, "name"),
        ({"inputs": [tensor(), tensor()]}, "twice"),
        ({"inputs": [tensor(datatype="BYTES")]}, "datatype"),
        ({"inputs": [tensor(datatype=None)]}, "datatype"),
        ({"inputs": [tensor(datatype=["FP64"])]}, "datatype"),
        ({"inputs": [tensor("load", "UINT8", [5, -5])]}, "'load' of datatype UINT8.*0 to 255; got -5.*Send it as FP64"),
        ({"inputs": [tensor("load", "INT8", [5, 200])]}, "'load' of datatype INT8.*-128 to 127; got 200"),
        ({"inputs": [tensor("load", "INT64", [5, 0.5])]}, "'load' of datatype INT64.*whole numbers.*got 0.5"),
        ({"inputs": [tensor("site", "FP64", [1.0])]}, "datatype"),
        ({"inputs": [tensor(shape=[3])]}, "shape"),
        ({"inputs": [tensor(shape="2")]}, "shape"),
        ({"inputs": [tensor(shape=[-2])]}, "'load'.*shape.*-2"),
        ({"inputs": [tensor(shape=[2, -1])]}, "shape"),
        ({"inputs": [tensor(shape=[1, 2])]}, "shape"),
        ({"inputs": [tensor(shape=[True])]}, "shape"),
        ({"inputs": [tensor(shape=[2.0])]}, "shape"),
        ({"inputs": [{**tensor(), "data": "AAAA"}]}, "data"),
        ({"inputs": [{"name": "load", "datatype": "FP64", "shape": [2]}]}, "binary"),
        ({"inputs": [tensor()], "id": 3}, "id"),
        ({"inputs": [tensor()], "parameters": []}, "parameters"),
        ({"inputs": [tensor()], "outputs": [{"name": "logit"}]}, "logit"),
        ({"inputs": [tensor()], "outputs": [3]}, "output"),
        ({"inputs": [tensor()], "outputs": [{"name": "id"}, {"name": "id"}]}, "twice"),
        ({"inputs": [tensor()], "outputs": [{"name": "id", "parameters": {"binary_data": 1}}]}, "'id'.*binary_data"),
        ({"inputs": [tensor()], "outputs": [{"name": "id", "parameters": {"classification": 2}}]}, "classification"),
        ({"inputs": [tensor()], "parameters": {"binary_data_output": "yes"}}, "binary_data_output"),
    ],
)
def test_a_request_that_does_not_fit_the_protocol_is_malformed(document, word):
    with pytest.raises(MalformedError, match=word):
        decode(document)


def test_the_response_has_the_outputs_that_were_asked_for():
    values = {"probability": [0.25], "confidence": [0.75], "id": ["x"], "model_version": [3]}
    document, tail = oip.encode(
        values, model="toy", version=3, request_id="7", is_binary_by_output={"confidence": False}
    )
    assert tail == b""
    assert document == {
        "model_name": "toy",
        "model_version": "3",
        "id": "7",
        "outputs": [{"name": "confidence", "shape": [1], "datatype": "FP64", "data": [0.75]}],
    }


def test_metadata_describes_every_column():
    found = oip.metadata(COLUMNS, ["key"], model="toy", versions=[3, 4])
    assert found["versions"] == ["3", "4"]
    assert [(each["name"], each["datatype"]) for each in found["inputs"]] == [
        ("load", "FP64"),
        ("site", "BYTES"),
        ("key", "BYTES"),
    ]
