"""Which parts of a network can be laid out over workers each by itself: found by watching it answer.

A part's weights are whole only while its forward is under way. So it must be called, and nothing else may use its
weights: not the network around it, not another part that shares one.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from heliostat.errors import WorkloadError
from heliostat.learn.examples import Examples

NUM_TRIED = 8


def separate_parts(
    module: nn.Module, examples: Examples, *, num_rows: int, answer: Callable[[Examples], object]
) -> list[str]:
    """The names of the parts that each answer of the network calls once, and uses in no other way.

    `answer` puts examples to the network. It is asked for some of `num_rows` rows while it learns, and once when it
    does not; a network may do different things with different rows.
    """
    parts = _without_shared(module, dict(_parts(module)))
    found = set(parts)
    module.train()
    for each in tried(examples, num_rows=num_rows):
        found &= _called_once(parts, partial(answer, each))
    module.eval()
    found &= _called_once(parts, partial(answer, next(tried(examples, num_rows=num_rows))))
    return [name for name in parts if name in found]


def tried(examples: Examples, *, num_rows: int) -> Iterator[Examples]:
    """Some of the first rows, so many at a time."""
    for start in range(0, min(examples.num_rows, NUM_TRIED * num_rows), num_rows):
        yield examples.take(np.arange(start, min(start + num_rows, examples.num_rows)))


def single_numbers(module: nn.Module) -> list[nn.Parameter]:
    """The weights that cannot be parted; WorkloadError where the size of one is not known before the first rows."""
    for name, weight in module.named_parameters():
        if is_lazy(weight):
            raise WorkloadError(
                f"The weight {name!r} of the network has no size yet, so it cannot be laid out over workers; give its "
                "layer the number of its inputs, or leave Training(shard=True) out."
            )
    return [weight for weight in module.parameters() if not weight.dim()]


def _parts(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The children, and in place of one that cannot be called (a ModuleList) what it holds."""
    for name, child in module.named_children():
        if type(child).forward is nn.Module.forward:
            yield from _parts(child, f"{prefix}{name}.")
        elif any(weight.dim() for weight in child.parameters()):
            yield f"{prefix}{name}", child


def _without_shared(module: nn.Module, parts: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Those of whose weights the network has none anywhere else."""
    names: dict[int, list[str]] = defaultdict(list)
    for name, weight in module.named_parameters(remove_duplicate=False):
        names[id(weight)].append(name)
    return {
        part: child
        for part, child in parts.items()
        if all(name.startswith(f"{part}.") for weight in child.parameters() for name in names[id(weight)])
    }


def _called_once(parts: Mapping[str, nn.Module], answered: Callable[[], object]) -> set[str]:
    uses = _Uses(parts)
    with ExitStack() as hooks:
        for name, part in parts.items():
            begun = part.register_forward_pre_hook(lambda *_, name=name: uses.begin(name))
            ended = part.register_forward_hook(lambda *_, name=name: uses.end(name))
            hooks.callback(begun.remove)
            hooks.callback(ended.remove)
        hooks.enter_context(uses)
        answered()
    return {name for name in parts if uses.num_calls[name] == 1} - uses.outside


class _Uses(TorchFunctionMode):
    """Notes how often each part is called, and whose weights are used `outside` of its call."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.num_calls: Counter[str] = Counter()
        self.outside: set[str] = set()
        self._under_way: Counter[str] = Counter()
        self._part_by_weight = {id(weight): name for name, part in parts.items() for weight in part.parameters()}

    def begin(self, part: str) -> None:
        self.num_calls[part] += 1
        self._under_way[part] += 1

    def end(self, part: str) -> None:
        self._under_way[part] -= 1

    def __torch_function__(
        self, function: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        for tensor in _tensors((args, kwargs or {})):
            part = self._part_by_weight.get(id(tensor))
            if part is not None and not self._under_way[part]:
                self.outside.add(part)
        return function(*args, **(kwargs or {}))


def _tensors(given: object) -> Iterator[torch.Tensor]:
    """All tensors in what a function is given."""
    if isinstance(given, torch.Tensor):
        yield given
    elif isinstance(given, Mapping):
        for each in given.values():
            yield from _tensors(each)
    elif isinstance(given, list | tuple):
        for each in given:
            yield from _tensors(each)
