"""The plan of one commit: which segments go into the lake under which sequence number.

A plan is written before anything is committed and removed after everything was, so whoever starts after a crash
finishes the same commit under the same number.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from heliostat.errors import LakeError
from heliostat.store import segments

PLAN_NAME = "plan.json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The segments, by name, of one commit of every table."""

    sequence: int
    predictions: tuple[str, ...]
    labels: tuple[str, ...]
    shadows: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All segments of the commit."""
        return (*self.predictions, *self.shadows, *self.labels)


def write(directory: Path, plan: Plan) -> None:
    """The plan is on the disk, whole."""
    text = json.dumps(asdict(plan))
    hidden = directory / f".{PLAN_NAME}"
    with hidden.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    hidden.replace(directory / PLAN_NAME)
    segments.sync_directory(directory)


def pending(directory: Path) -> Plan | None:
    """The plan that was begun and not finished; None when there is none."""
    path = directory / PLAN_NAME
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text())
        return Plan(
            sequence=values["sequence"],
            predictions=tuple(values["predictions"]),
            labels=tuple(values["labels"]),
            shadows=tuple(values.get("shadows", ())),  # a plan of an earlier release has none
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(f"The plan {path} cannot be read ({error!r}); move it away, its segments are kept.") from error


def finish(directory: Path, plan: Plan) -> None:
    """The plan's segments and the plan are gone; the segments go first, so that none is ever planned again."""
    for name in plan.names:
        segments.remove(directory / name)
    segments.sync_directory(directory)
    (directory / PLAN_NAME).unlink()


def next_segments(directory: Path, *, max_bytes: int) -> Plan | None:
    """A plan, without its number yet, of the oldest sealed segments; None when there is none.

    It takes up to `max_bytes` of each kind, and at least one segment.
    """
    predictions = _up_to(segments.sealed(directory, "predictions"), max_bytes)
    shadows = _up_to(segments.sealed(directory, "shadows"), max_bytes)
    labels = _up_to(segments.sealed(directory, "labels"), max_bytes)
    plan = Plan(sequence=0, predictions=predictions, labels=labels, shadows=shadows)
    return plan if plan.names else None


def _up_to(paths: list[Path], max_bytes: int) -> tuple[str, ...]:
    names: list[str] = []
    num_bytes = 0
    for path in paths:
        num_bytes += path.stat().st_size
        if names and num_bytes > max_bytes:
            break
        names.append(path.name)
    return tuple(names)
