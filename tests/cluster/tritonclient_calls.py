"""What an unmodified tritonclient gets from a running server, over both protocols, as one line of JSON.

Runs in the environment of tritonclient.txt: nothing of this project can be imported here.
Usage: python tritonclient_calls.py HTTP_ADDRESS GRPC_ADDRESS MODEL KEY
"""

import json
import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

OUTPUTS = ("probability", "confidence", "id", "model_version")


def inputs(api, datatype="FP32", **binary):
    """One tensor a column of the toy, as numpy arrays."""
    loads = np.linspace(1, 90, 5).round()
    values = {
        "load_percent": (datatype, loads.astype(triton_to_np_dtype(datatype))),
        "temperature_c": ("FP64", np.linspace(0, 20, 5)),
        "site": ("BYTES", np.array(["alpha", "beta", "nowhere", "gamma", "delta"], dtype=np.object_)),
        "reading": ("BYTES", np.array([f"r-{row}" for row in range(5)], dtype=np.object_)),
        "read_at": ("BYTES", np.array(["2024-03-01T10:00:00Z"] * 5, dtype=np.object_)),
    }
    tensors = []
    for name, (kind, array) in values.items():
        tensor = api.InferInput(name, [5], kind)
        tensor.set_data_from_numpy(array, **binary)
        tensors.append(tensor)
    return tensors


def misshapen(api):
    """The same, with a shape that is not that of the values."""
    tensors = inputs(api)
    tensors[0].set_shape([6])
    return tensors


def outputs(result):
    """The arrays of an answer as lists."""
    arrays = {name: result.as_numpy(name).tolist() for name in OUTPUTS}
    return {
        name: [each.decode() if isinstance(each, bytes) else each for each in array] for name, array in arrays.items()
    }


def refused(call, *arguments, **options):
    """The status and the sentence of a call that must fail."""
    try:
        call(*arguments, **options)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return [None, "was answered"]


def said(api, client, model, key):
    """What the server says over one of the two protocols."""
    headers = {"authorization": f"Bearer {key}", "x-request-id": "tritonclient"}
    as_json = {"as_json": True} if api is tritonclient.grpc else {}

    def wrong(*arguments, **options):
        return refused(client.infer, *arguments, **{"headers": headers, **options})

    return {
        "live": client.is_server_live(),
        "ready": client.is_model_ready(model),
        "server": client.get_server_metadata(headers=headers, **as_json)["name"],
        "metadata": client.get_model_metadata(model, headers=headers, **as_json),
        "outputs": {
            kind: outputs(client.infer(model, inputs(api, kind), headers=headers)) for kind in ("FP32", "FP64", "INT64")
        },
        "without a key": wrong(model, inputs(api), headers={}),
        "with a wrong key": wrong(model, inputs(api), headers={"authorization": "Bearer hel_who_knows"}),
        "unknown model": wrong("nobody", inputs(api)),
        "unknown version": wrong(model, inputs(api), model_version="77"),
        "BOOL for a number": wrong(model, inputs(api, "BOOL")),
        "wrong shape": wrong(model, misshapen(api)),
        "a column missing": wrong(model, inputs(api)[1:]),
        "unknown output": wrong(model, inputs(api), outputs=[api.InferRequestedOutput("nobody")]),
    }


def over_json(client, model, key):
    """The outputs when tensors travel as JSON in both directions."""
    wanted = [tritonclient.http.InferRequestedOutput(name, binary_data=False) for name in OUTPUTS]
    headers = {"authorization": f"Bearer {key}", "x-request-id": "tritonclient"}
    tensors = inputs(tritonclient.http, "FP64", binary_data=False)
    return outputs(client.infer(model, tensors, outputs=wanted, headers=headers))


def over_grpc(client, model, key):
    """What only gRPC has: metadata that names the application, compression, a deadline."""
    headers = {"authorization": f"Bearer {key}", "x-request-id": "tritonclient"}
    tensors = inputs(tritonclient.grpc)
    named = {**headers, "application": model}
    response = client.infer(model, tensors, headers=headers, request_id="mine").get_response()
    return {
        "with the application named": outputs(client.infer(model, tensors, headers=named)),
        "compressed": outputs(client.infer(model, tensors, headers=named, compression_algorithm="gzip")),
        "in time": outputs(client.infer(model, tensors, headers=headers, client_timeout=20)),
        "too late": refused(client.infer, model, tensors, headers=headers, client_timeout=0.0001),
        "unknown application": refused(client.infer, model, tensors, headers={**headers, "application": "nobody"}),
        "id": response.id,
        "parameters": {name: each.WhichOneof("parameter_choice") for name, each in response.parameters.items()},
    }


def main(http_address, grpc_address, model, key):
    """Ask, and print what was said."""
    http = tritonclient.http.InferenceServerClient(f"{http_address}/{model}")
    grpc = tritonclient.grpc.InferenceServerClient(grpc_address)
    found = {
        "http": said(tritonclient.http, http, model, key),
        "grpc": said(tritonclient.grpc, grpc, model, key),
        "json": over_json(http, model, key),
        "only grpc": over_grpc(grpc, model, key),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
