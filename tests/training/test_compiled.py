import shutil
from dataclasses import replace

import pytest
import torch

from heliostat.learn.fit import fit
from heliostat.learn.rows import split_by_time
from tests.toy import workload
from tests.toy_rows import labelled_rows


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_is_the_same_up_to_rounding():
    parts = split_by_time(labelled_rows("2024-01", "2024-02", rows_per_part=600), share=0.2)
    plain, compiled = (
        fit(replace(workload, training=replace(workload.training, epochs=3, compile=on)), *parts, seed=1)
        for on in (False, True)
    )
    assert plain.weights.keys() == compiled.weights.keys()
    assert all(torch.allclose(plain.weights[name], compiled.weights[name], atol=1e-3) for name in plain.weights)
