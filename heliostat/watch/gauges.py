"""Figures that are exported: each declared once with its help and its labels, and measured wherever it is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One value of a gauge."""

    name: str
    help: str
    value: float
    label_by_name: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Gauge:
    """A figure: its name ends in its unit, its labels are few and known beforehand."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def of(self, value: float, *labels: str) -> Measurement:
        """Its value for these values of its labels, in their order; ValueError where one lacks or is too many."""
        named = dict(zip(self.labels, labels, strict=True))
        return Measurement(name=self.name, help=self.help, value=value, label_by_name=named)

    def at(self, instant: datetime, *labels: str) -> Measurement:
        """A moment as its value, in seconds since 1970."""
        return self.of(instant.timestamp(), *labels)
