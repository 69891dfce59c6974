"""The toy workload with small limits for long answers, and callbacks to this machine."""

from dataclasses import replace

from heliostat import LongAnswers
from tests import toy

workload = replace(
    toy.workload,
    long_answers=LongAnswers(
        max_rows=1000,
        max_body_bytes=200_000,
        max_waiting=12,
        input_prefixes=("/",),
        callback_prefixes=("http://127.0.0.1:31990/hooks/",),
        callback_waits_s=(0.5, 0.5, 0.5),
    ),
)
