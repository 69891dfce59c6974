"""The toy workload under another name: the same data must lead to the same decisions."""

from dataclasses import replace

from tests import toy

workload = replace(toy.workload, name="toy-again")
