"""The same run on several hosts as on one."""

import numpy as np
import pytest
from safetensors.torch import load

from heliostat.store.bundles import read_bundle


@pytest.mark.ray
@pytest.mark.parametrize(("num_hosts", "module"), [(2, "tests.toy_two"), (3, "tests.toy_three"), (4, "tests.toy_four")])
def test_several_hosts_fit_the_network_that_one_fits(nodes, first_run, num_hosts, module):
    nodes.have(num_hosts)
    fitted = nodes.result(f"hosts-{num_hosts}", nodes.start(f"hosts-{num_hosts}", module))
    assert [each["candidate"] for each in fitted] == ["all", "all-refit"]
    for ours, alone in zip(fitted, first_run.fitted, strict=False):
        assert ours["candidate"] == alone["candidate"]
        assert ours["scores"] == pytest.approx(alone["scores"], abs=1e-3)
        weights, others = (
            load(read_bundle(each["bundle_uri"], each["bundle_hash"])["weights.safetensors"]) for each in (ours, alone)
        )
        furthest = max(float(np.abs(weights[name].numpy() - others[name].numpy()).max()) for name in weights)
        print({"hosts": num_hosts, "scores": ours["scores"], "alone": alone["scores"], "furthest_weight": furthest})
        assert furthest < 1e-3
