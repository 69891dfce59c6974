"""The numbers of a part of the benchmark as lines of text."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

MIN_WIDTH = 18


def lines(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each row; below rows of the same columns the names of these."""
    for columns, alike in groupby(rows.items(), key=lambda item: tuple(item[1])):
        widths = [max(MIN_WIDTH, len(name) + 2) for name in columns]
        for name, values in alike:
            yield f"  {name:44}" + _aligned([_shown(value) for value in values.values()], widths)
        yield f"  {'':44}" + _aligned(columns, widths)


def _aligned(texts: tuple[str, ...] | list[str], widths: list[int]) -> str:
    return "".join(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True))


def _shown(value: Any) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value}"
