"""Parts of a network that belong to one column each, whatever their columns are called."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

PREFIX = "of_"


class ByColumn(nn.ModuleDict):
    """One module for each column, by its name.

    torch takes no name with a dot, nor one of its own (`values`, `type`), so weights are kept under names that it
    takes. Those of bundles from before, which had the column's own, are found under these.
    """

    def __init__(self, module_by_column: Mapping[str, nn.Module]) -> None:
        super().__init__({_key(name): module for name, module in module_by_column.items()})
        self.columns = tuple(module_by_column)
        self.register_load_state_dict_pre_hook(_rename)  # type: ignore[no-untyped-call]

    def by_name(self) -> Iterator[tuple[str, nn.Module]]:
        """Name and module of each column, in their order."""
        return zip(self.columns, self.values(), strict=True)


def _key(column: str) -> str:
    return PREFIX + column.replace("%", "%25").replace(".", "%2E")


def _rename(module: ByColumn, weights: dict[str, Any], prefix: str, *_: object) -> None:
    """Give weights the names of today where all of them have those of before."""
    told = {name.removeprefix(prefix).partition(".")[0] for name in weights if name.startswith(prefix)}
    if told != set(module.columns):
        return
    own = {name.removeprefix(prefix): weights.pop(name) for name in [*weights] if name.startswith(prefix)}
    for name, tensor in own.items():
        column, dot, rest = name.partition(".")
        weights[f"{prefix}{_key(column)}{dot}{rest}"] = tensor
