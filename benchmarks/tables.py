"""From what all rounds measured to tables: medians, each server at its better number of workers."""

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks import targets
from benchmarks.contenders import Contender
from benchmarks.places import ROOT, Places

OURS, PACED = targets.OURS, targets.PACED
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- make bench-serving: begin -->", "<!-- make bench-serving: end -->"
_LOADS = (targets.ONE, targets.MANY, targets.ROWS)
_COLUMNS = targets.COLUMNS

Row = dict[str, Any]


def columns_load(protocol: str) -> str:
    """The name of the load with many rows, by what carries them."""
    return _COLUMNS + protocol


def write(places: Places, contenders: Sequence[Contender]) -> None:
    """All results so far, as tables between the two marks of docs/benchmarks.md, and on the screen."""
    results = [json.loads(line) for line in places.results.read_text().splitlines()]
    text = "\n".join(_page(results, contenders))
    print(text)
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _page(results: Sequence[Row], contenders: Sequence[Contender]) -> list[str]:
    medians = _medians(results)
    lines = [_said(results, medians), "", *_targets(results, medians)]
    for load in _LOADS:
        lines += _table(load, [_better(medians, each.name, load) for each in contenders])
    many = [
        {**row, "server": f"{row['server']}, {row['load'].removeprefix(_COLUMNS)}"}
        for each in contenders
        for load in sorted({load for _, _, load in medians if load.startswith(_COLUMNS)})
        if (row := _better(medians, each.name, load)) is not None
    ]
    lines += _table("4,096 rows x 1 connection, columns or a matrix in bytes", many)
    lines += _paced(medians)
    lines += _in_process(results)
    lines += [f"- {each.name}: {each.configuration}" for each in contenders]
    lines += _errors(results)
    return lines


def _medians(results: Sequence[Row]) -> dict[tuple[str, int, str], Row]:
    """One row for every server, number of workers and load; failed requests are summed."""
    rounds: dict[tuple[str, int, str], list[Row]] = defaultdict(list)
    for result in results:
        if "load" in result:
            rounds[result["server"], result["workers"], result["load"]].append(result)
    return {
        place: {
            **found[0],
            **{
                name: median(each[name] for each in found)
                for name in ("requests_per_s", "rows_per_s", "p50_ms", "p99_ms", "max_ms")
            },
            "failed": sum(each["failed"] for each in found),
            "num_rounds": len(found),
        }
        for place, found in rounds.items()
    }


def _better(medians: dict[tuple[str, int, str], Row], server: str, load: str) -> Row | None:
    rows = [row for (name, _, its_load), row in medians.items() if (name, its_load) == (server, load)]
    return max(rows, key=lambda row: row["requests_per_s"], default=None)


def _table(title: str, rows: Sequence[Row | None]) -> list[str]:
    measured = [row for row in rows if row is not None]
    ours = next((row for row in measured if row["server"].startswith(OURS)), None)
    lines = [
        f"**{title}**",
        "",
        "| server | workers | requests/s | rows/s | p50 ms | p99 ms | failed | of ours |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in measured:
        ratio = "-" if ours is None else f"{row['rows_per_s'] / ours['rows_per_s']:.2f}"
        lines.append(
            f"| {row['server']} | {row['workers']} | {row['requests_per_s']:,.0f} | {row['rows_per_s']:,.0f} "
            f"| {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {row['failed']:,} | {ratio} |"
        )
    return [*lines, ""]


def _paced(medians: dict[tuple[str, int, str], Row]) -> list[str]:
    return [
        f"At 80% of its peak of 32 connections, open loop ({row['requests_per_s']:,.0f} requests/s, {row['workers']} "
        f"workers): p50 {row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms, longest {row['max_ms']:.1f} ms, "
        f"{row['failed']} failed.\n"
        for (_, _, load), row in sorted(medians.items())
        if load == PACED
    ]


def _said(results: Sequence[Row], medians: dict[tuple[str, int, str], Row]) -> str:
    """When and how all that follows was measured."""
    rounds = sorted({row["num_rounds"] for row in medians.values()})
    seconds = sorted({result["seconds"] for result in results if result.get("load", PACED) != PACED})
    cores, load = os.cpu_count(), [result["load_before"] for result in results if "load_before" in result]
    busy = f", load average before a server came up {min(load):.1f} to {max(load):.1f}" if load else ""
    return (
        f"`python -m benchmarks.serving`, {results[0]['at']} to {results[-1]['at']}, {cores} cores{busy}. Medians of "
        f"{_spread(rounds)} rounds, {_spread(seconds)} s a load after one of warming up, wrk on the same cores; each "
        "server at its better of 1 and 2 workers."
    )


def _spread(numbers: Sequence[int]) -> str:
    return "?" if not numbers else str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _targets(results: Sequence[Row], medians: dict[tuple[str, int, str], Row]) -> list[str]:
    found = targets.verdicts(list(medians.values()), model_ms=_in_process_ms(results, "model_ms"))
    return ["| target | found | |", "|---|---|---|", *(verdict.line() for verdict in found), ""]


def _in_process_ms(results: Sequence[Row], name: str) -> float | None:
    found = [result[name] for result in results if result["server"] == "in process"]
    return median(found) if found else None


def _in_process(results: Sequence[Row]) -> list[str]:
    network, model = (_in_process_ms(results, name) for name in ("network_ms", "model_ms"))
    if network is None or model is None:
        return []
    return [
        f"In process, 4,096 rows: the network on a ready matrix {network:.2f} ms, the bundle's model on a column of "
        f"vectors {model:.2f} ms.",
        "",
    ]


def _errors(results: Sequence[Row]) -> list[str]:
    errors = {(result["server"], result["workers"]): result["error"] for result in results if "error" in result}
    return [
        f"- {server} with {workers} workers was not measured: {error}" for (server, workers), error in errors.items()
    ]
