"""One gate's answer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Whether the gate holds, in one sentence."""

    passed: bool
    reason: str
