"""The toy workload with replicas of its own, beside the pooled ones: others ask it, and its replicas are killed."""

from dataclasses import replace

from tests import toy

workload = replace(toy.workload, name="toy-alone")
