"""A workload with a configuration put in: what a trial fits, and what a tuned version answers with."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from heliostat.declared.tuning import MODEL, TREES, Configuration, Tuning, Value
from heliostat.errors import WorkloadError
from heliostat.workload import Workload


def configured(workload: Workload, configuration: Configuration) -> Workload:
    """The workload with these settings instead of its own; names as in `Tuning(space=...)`."""
    options = _below(configuration, TREES)
    trees = workload.trees
    if options and trees is None:
        raise WorkloadError(f"Workload {workload.name!r} declares no trees to tune; add trees=Trees() to it.")
    if options and trees is not None:
        trees = replace(trees, **options)
    own = {name: value for name, value in configuration.items() if "." not in name}
    training = replace(workload.training, **own)  # type: ignore[arg-type]
    return with_model_options(replace(workload, training=training, trees=trees), configuration)


def with_model_options(workload: Workload, configuration: Configuration) -> Workload:
    """The workload whose `model` is given the configuration's `model.NAME` as keyword arguments."""
    options = _below(configuration, MODEL)
    if not options:
        return workload
    try:
        inspect.signature(workload.model).bind({}, **options)
    except TypeError as error:
        raise WorkloadError(
            f"model of {workload.name!r} does not take {', '.join(map(repr, options))} ({error}); give it such keyword "
            "arguments, or leave them out of Tuning(space=...)."
        ) from error
    return replace(workload, model=partial(workload.model, **options))


def declared_point(workload: Workload, tuning: Tuning) -> dict[str, Value] | None:
    """The settings as the workload declares them; None when one lies outside the space or has no default."""
    found: dict[str, Value] = {}
    for name, span in tuning.space.items():
        value = _declared(workload, name)
        if value is None or not span.has(value):
            return None
        found[name] = value
    return found


def kept(workload: Workload, lineage: Mapping[str, Any]) -> dict[str, Value]:
    """The champion's tuned settings, which later training goes on with while the workload declares their space."""
    found: dict[str, Value] = dict(lineage.get("configuration", {}))
    space = {} if workload.tuning is None else workload.tuning.space
    return found if all(name in space and space[name].has(value) for name, value in found.items()) else {}


def _declared(workload: Workload, name: str) -> Value | None:
    if name.startswith(TREES):
        return getattr(workload.trees, name.removeprefix(TREES), None)
    if not name.startswith(MODEL):
        return getattr(workload.training, name)  # type: ignore[no-any-return]
    parameter = inspect.signature(workload.model).parameters.get(name.removeprefix(MODEL))
    return None if parameter is None or parameter.default is inspect.Parameter.empty else parameter.default


def _below(configuration: Configuration, prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in configuration.items() if name.startswith(prefix)}
