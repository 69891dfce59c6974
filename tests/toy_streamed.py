"""The streamed toy under a name of its own, with one window and more epochs."""

from dataclasses import replace

from tests import toy_stream

workload = replace(
    toy_stream.workload,
    name="streamed",
    training=replace(toy_stream.workload.training, windows=(None,), epochs=6),
)
