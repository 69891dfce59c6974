"""Puts measured lines between the markers of a page; all else on it stays."""

from pathlib import Path


def write(path: Path, name: str, lines: list[str]) -> None:
    """The lines stand between the two markers of that name; ValueError when the page has no such place."""
    begin, end = f"<!-- measured: {name} -->", f"<!-- end: {name} -->"
    text = path.read_text()
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"{path} has no place between {begin} and {end}.")
    path.write_text("\n".join([before + begin, *lines, end]) + after)
