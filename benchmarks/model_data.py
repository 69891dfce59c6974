"""The rows of `benchmarks.models`: a table of yours, flights, images of scikit-learn, texts that are installed."""

import argparse
import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from benchmarks.model_kinds import LABEL
from heliostat import Category, Classes, Number, Quantity, Text, Vector
from heliostat.columns import Column
from heliostat.labels import Label
from heliostat.vectors import from_matrix
from workloads.flights import CATEGORIES, SCHEDULE, WEATHER
from workloads.flights_source import LABEL_DUE_AFTER, Flights

MOST_TEXTS = 4000  # of each package
FEWEST_WORDS = 6
RAREST_SHARE = 0.01  # of the rows; classes below it count as one
OTHER = "other"
DELAYS = {"ahead of time": -np.inf, "on time": 0.0, "late": 15.0, "very late": 60.0}  # above so many minutes
TEXT = Text("text", max_length=100_000, letters=(2, 5), num_buckets=1 << 17, most_terms=768)


def read(options: argparse.Namespace) -> tuple[pa.Table, list[Column], Label]:
    """Rows under the lake's names in order of time, what their inputs are, and what is asked of them."""
    table = pq.read_table(options.data)
    at = table[options.event_time].cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    values, label = _labelled(table[options.label], options)
    rows = pa.table({"key": [f"{row:09d}" for row in range(table.num_rows)], "event_at": at, "label": values})
    columns: list[Column] = []
    for name in table.column_names:
        found = table[name]
        if name in (options.label, options.event_time, *options.drop) or pa.types.is_temporal(found.type):
            continue
        is_category = name in options.categories or not pa.types.is_primitive(found.type)
        columns.append(Category(name, optional=True) if is_category else Number(name, -np.inf, np.inf, optional=True))
        rows = rows.append_column(name, found.cast(columns[-1].arrow_type))
    return rows.filter(pc.is_valid(rows["label"])).sort_by("event_at"), columns, label


def _labelled(values: pa.ChunkedArray, options: argparse.Namespace) -> tuple[pa.ChunkedArray, Label]:
    """The label of each row as the house has it, and its declaration."""
    if options.kind == "classes":
        return _classes(values.cast(pa.string()))
    numbers = values.cast(pa.float64())
    if options.kind == "quantity":
        lowest = pc.min(numbers).as_py()
        return numbers, Quantity("label", low=0.0 if lowest >= 0 else None)
    return numbers if options.above is None else pc.greater(numbers, options.above).cast(pa.float64()), LABEL


def _classes(texts: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Label]:
    counted = {each["values"]: each["counts"] for each in pc.value_counts(texts.drop_null()).to_pylist()}
    fewest = RAREST_SHARE * sum(counted.values())
    frequent = sorted(name for name, count in counted.items() if count >= fewest)
    names = frequent if len(frequent) == len(counted) else [*frequent, OTHER]
    pooled = pc.if_else(pc.or_(pc.is_null(texts), pc.is_in(texts, pa.array(frequent))), texts, OTHER)
    return pc.index_in(pooled, pa.array(names), skip_nulls=True).cast(pa.float64()), Classes("label", tuple(names))


def flights() -> tuple[pa.Table, list[Column], Label]:
    """The example's flights that landed, each with the class of its delay on arrival."""
    source = Flights()
    table = pa.concat_tables(source.read(part) for part in source.parts())
    table = table.filter(pc.is_valid(table["label_known_at"])).sort_by("scheduled_departure_at")
    minutes = (table["label_known_at"].to_numpy() - table["due_at"].to_numpy() + LABEL_DUE_AFTER) / np.timedelta64(
        1, "m"
    )
    codes = np.searchsorted(list(DELAYS.values()), minutes, side="left") - 1.0
    columns: list[Column] = [*SCHEDULE, *WEATHER, *CATEGORIES]
    named = {"key": table["flight"], "event_at": table["scheduled_departure_at"], "label": codes}
    rows = pa.table({**named, **{column.name: table[column.name] for column in columns}})
    return rows, columns, Classes("label", tuple(DELAYS))


def digits() -> tuple[pa.Table, list[Column]]:
    """The images of digits that scikit-learn ships, 8 x 8 pixels; the label is whether it is 5 or more.

    Their order is that of the data set, in which the last ones are by other writers.
    """
    found = load_digits()
    rows = _rows((found.target >= 5).astype(np.float64), "pixels", from_matrix(found.data.astype(np.float32)))
    return rows, [Vector("pixels", 64, low=0, high=16)]


def docstrings() -> tuple[pa.Table, list[Column]]:
    """First paragraphs of docstrings in scipy (label 0) and scikit-learn (1), in an order that a hash decides."""
    texts = [(text, label) for label, name in enumerate(("scipy", "sklearn")) for text in _paragraphs(name)]
    texts.sort(key=lambda each: crc32(each[0].encode()))
    labels = np.array([label for _, label in texts], np.float64)
    return _rows(labels, "text", pa.array([text for text, _ in texts])), [TEXT]


def _paragraphs(package: str) -> list[str]:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    files = sorted(Path(spec.origin).parent.rglob("*.py"))
    found = dict.fromkeys(text for file in files if "tests" not in file.parts for text in _of_file(file))
    return sorted(found, key=lambda text: crc32(text.encode()))[:MOST_TEXTS]


def _of_file(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = (ast.get_docstring(node) or "").partition("\n\n")[0]
            if len(text.split()) >= FEWEST_WORDS:
                yield text


def _rows(labels: NDArray[np.float64], name: str, values: pa.Array) -> pa.Table:
    minutes = np.arange(len(labels)).astype("m8[m]") + np.datetime64("2024-01-01", "us")
    at = pa.array(minutes, pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    return pa.table(
        {"key": [f"{row:09d}" for row in range(len(labels))], "event_at": at, "label": labels, name: values}
    )
