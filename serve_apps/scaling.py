"""A workload's declared scaling as Serve's deployment options."""

import warnings
from typing import Any

from ray import cloudpickle
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from heliostat.declared.serving import Serving
from heliostat.serving import scaling as policy_code
from heliostat.serving.scaling import MODULE, ScalingPolicy

# Serve's own is 10 s: a burst would be over before it was seen.
METRICS_INTERVAL_S = 1.0
LOOK_BACK_S = 5.0


def replica_options(serving: Serving) -> dict[str, Any]:
    """How many replicas Serve keeps: a fixed number, or as the load asks."""
    scaling = serving.scaling
    if scaling is None:
        return {"num_replicas": serving.num_replicas}
    to_zero = scaling.scale_to_zero_after
    policy = {
        "policy_function": f"{MODULE}:{ScalingPolicy.__name__}",
        "policy_kwargs": {
            "min_replicas": scaling.min_replicas,
            "target_ongoing_requests": scaling.target_ongoing_requests,
            "target_latency_ms": scaling.target_latency_ms,
            "may_be_zero": to_zero is not None,
        },
    }
    with warnings.catch_warnings():
        # Serve 2.60 calls the interval deprecated, and the variables that shall replace it change nothing yet.
        warnings.simplefilter("ignore", DeprecationWarning)
        config = AutoscalingConfig(
            min_replicas=scaling.min_replicas if to_zero is None else 0,
            initial_replicas=scaling.min_replicas,
            max_replicas=scaling.max_replicas,
            target_ongoing_requests=scaling.target_ongoing_requests,
            metrics_interval_s=METRICS_INTERVAL_S,
            look_back_period_s=LOOK_BACK_S,
            upscale_delay_s=scaling.upscale_delay.total_seconds(),
            downscale_delay_s=scaling.downscale_delay.total_seconds(),
            downscale_to_zero_delay_s=None if to_zero is None else to_zero.total_seconds(),
            policy=AutoscalingPolicy.from_serialized_policy_def(policy, _by_value()),
        )
    return {"autoscaling_config": config}


def _by_value() -> bytes:
    """The policy for processes without this code: Serve imports it by name only where it rebuilds a declaration."""
    pickler: Any = cloudpickle
    pickler.register_pickle_by_value(policy_code)
    try:
        pickled: bytes = pickler.dumps(ScalingPolicy)
    finally:
        pickler.unregister_pickle_by_value(policy_code)
    return pickled
