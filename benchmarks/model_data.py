"""What `benchmarks.models` has besides tables: images that scikit-learn ships, and texts that are installed anyway."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from heliostat import Text, Vector
from heliostat.columns import Column
from heliostat.vectors import from_matrix

MOST_TEXTS = 4000  # of each package
FEWEST_WORDS = 6
TEXT = Text("text", max_length=100_000, letters=(2, 5), num_buckets=1 << 17, most_terms=768)


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
