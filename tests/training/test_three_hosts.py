"""The same run on three hosts as on one."""

import numpy as np
import pytest
from safetensors.torch import load

from heliostat.store.bundles import read_bundle


@pytest.mark.ray
def test_three_hosts_fit_the_network_that_one_fits(nodes, first_run):
    nodes.have(3)
    three = nodes.result("three", nodes.start("three", "tests.toy_three"))
    assert [each["candidate"] for each in three] == ["all", "all-refit"]
    for ours, alone in zip(three, first_run.fitted, strict=False):
        assert ours["candidate"] == alone["candidate"]
        assert ours["scores"] == pytest.approx(alone["scores"], abs=1e-3)
        weights, others = (
            load(read_bundle(each["bundle_uri"], each["bundle_hash"])["weights.safetensors"]) for each in (ours, alone)
        )
        for name, tensor in weights.items():
            np.testing.assert_allclose(tensor.numpy(), others[name].numpy(), atol=1e-3)
