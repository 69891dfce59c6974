"""The quick toy that goes on from its champion, too."""

from dataclasses import replace

from tests import toy_quick

workload = replace(toy_quick.workload, training=replace(toy_quick.workload.training, windows=(None,), warm_start=True))
