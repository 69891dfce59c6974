"""Which versions of other workloads have a part in a piece of bulk work: their champions when it began."""

from collections.abc import Sequence
from dataclasses import dataclass

from heliostat.bulk.composed import Answers, Composed
from heliostat.columns import Column
from heliostat.declared.inputs import Combine, Input, asked, refuse_cycle
from heliostat.declared.revisions import renamed_since
from heliostat.labels import Label
from heliostat.learn.served_model import ServedModel
from heliostat.records import Record
from heliostat.store.bundles import read_bundle
from heliostat.store.catalog import Catalog
from heliostat.tasks import task_of
from heliostat.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Pin(Record):
    """One version that is asked, for as long as the work lasts."""

    workload: str
    number: int
    bundle_uri: str
    bundle_hash: str


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How a workload asks others, and which versions they are; a plain value, so it pickles."""

    inputs: tuple[Input, ...]
    combine: Combine | None
    pinned: tuple[Pin, ...]
    columns: tuple[Column, ...]
    label: Label

    @classmethod
    def of(cls, workload: Workload, pinned: tuple[Pin, ...]) -> "Asking":
        """How a workload asks, with the versions that it asks."""
        return cls(
            inputs=tuple(workload.inputs),
            combine=workload.combine,
            pinned=pinned,
            columns=tuple(workload.columns),
            label=workload.label,
        )

    def composed(self, own: Answers, number: int) -> Composed:
        """The version with all that it asks, loaded; takes seconds. Rows for it must have the columns that it reads."""
        model_by_workload = {pin.workload: _loaded(pin) for pin in self.pinned}
        number_by_workload = {pin.workload: pin.number for pin in self.pinned}

        def others(inputs: Sequence[Input], combine: Combine | None) -> dict[str, Composed]:
            return {name: other(name) for name in asked(inputs, combine) if name in model_by_workload}

        def other(name: str) -> Composed:
            model = model_by_workload[name]
            declared = model.workload
            return Composed(
                number=number_by_workload[name],
                model=model,
                columns=model.columns,
                inputs=tuple(declared.inputs),
                combine=declared.combine,
                task=declared.task,
                renamed=renamed_since(declared.earlier),
                other_by_workload=others(declared.inputs, declared.combine),
            )

        return Composed(
            number=number,
            model=own,
            columns=self.columns,
            inputs=self.inputs,
            combine=self.combine,
            task=task_of(self.label),
            other_by_workload=others(self.inputs, self.combine),
        )


def pins(catalog: Catalog, name: str, *, inputs: Sequence[Input], combine: Combine | None) -> tuple[Pin, ...]:
    """The champions of all workloads that are asked, and of those that these ask; WorkloadError in a circle.

    A workload without a champion has no pin: what is declared for a missing answer holds then.
    """
    asked_by_workload = {name: asked(inputs, combine)}
    found: dict[str, Pin] = {}
    waiting = list(asked_by_workload[name])
    while waiting:
        other = waiting.pop()
        champion = None if other in asked_by_workload else catalog.aliases(other).get("champion")
        if champion is None:
            continue
        version = catalog.version(other, champion)
        found[other] = Pin(
            workload=other, number=champion, bundle_uri=version.bundle_uri, bundle_hash=version.bundle_hash
        )
        declared = _loaded(found[other]).workload
        asked_by_workload[other] = asked(declared.inputs, declared.combine)
        waiting += asked_by_workload[other]
    refuse_cycle(asked_by_workload)
    return tuple(found[other] for other in sorted(found))


def _loaded(pin: Pin) -> ServedModel:
    return ServedModel.load(read_bundle(pin.bundle_uri, pin.bundle_hash))
