"""Whether the targets of serving are met, told from what all servers did; a target that was not measured says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

OURS, BARE_RAY = "heliostat", "ray serve, bare"
ONE, MANY, ROWS, PACED = "1 row x 1", "1 row x 32", "64 rows x 8", "1 row, 80% of the peak"
COLUMNS = "4,096 rows x 1, "
OF_BARE_RAY, OF_FASTEST_P50, OF_BEST_ROWS, OF_IN_PROCESS, PACED_P99_MS = 0.95, 1.5, 1.5, 2.0, 50.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One target: what was found, and whether that is enough; None when it was not measured."""

    target: str
    found: str
    is_met: bool | None

    def line(self) -> str:
        """Its line of the table."""
        said = {True: "met", False: "missed", None: "not measured"}[self.is_met]
        return f"| {self.target} | {self.found} | {said} |"


def verdicts(rows: Sequence[Row], *, model_ms: float | None) -> list[Verdict]:
    """Every target, from one row for each server, number of workers and load.

    `model_ms` is the model in its own process on 4,096 rows.
    """
    one, many, sixty_four = (_better(rows, load) for load in (ONE, MANY, ROWS))
    outside_ray = {name: row for name, row in many.items() if name != BARE_RAY}
    bare_ray = {name: row for name, row in many.items() if name in (OURS, BARE_RAY)}
    fastest = f"1 connection: p50 at most {OF_FASTEST_P50} times the fastest"
    return [
        _at_least(outside_ray, 1.0, "requests_per_s", "32 connections: ahead of every peer outside Ray"),
        _at_least(bare_ray, OF_BARE_RAY, "requests_per_s", f"32 connections: {OF_BARE_RAY} of bare Ray Serve"),
        _at_most(many, 1.0, "p99_ms", "32 connections: the lowest p99"),
        _at_most(one, OF_FASTEST_P50, "p50_ms", fastest),
        _at_least(sixty_four, OF_BEST_ROWS, "rows_per_s", f"64 rows: {OF_BEST_ROWS} times the best peer's rows/s"),
        _columns(rows, model_ms),
        _paced(rows, many.get(OURS)),
    ]


def _better(rows: Sequence[Row], load: str) -> dict[str, Row]:
    """Each server at the number of workers with which it answers more; ours as the others are asked."""
    found: dict[str, Row] = {}
    for row in rows:
        name, known = row["server"], found.get(row["server"])
        if row["load"] != load or (name.startswith(OURS) and name != OURS):
            continue
        if known is None or row["requests_per_s"] > known["requests_per_s"]:
            found[name] = row
    return found


def _at_least(better: Mapping[str, Row], share: float, value: str, target: str) -> Verdict:
    others = {name: row[value] for name, row in better.items() if name != OURS}
    if OURS not in better or not others:
        return Verdict(target=target, found="", is_met=None)
    ours, best = better[OURS][value], max(others, key=others.__getitem__)
    found = f"{ours:,.0f}, {ours / others[best]:.2f} of {best} ({others[best]:,.0f})"
    return Verdict(target=target, found=found, is_met=ours >= share * others[best])


def _at_most(better: Mapping[str, Row], times: float, value: str, target: str) -> Verdict:
    others = {name: row[value] for name, row in better.items() if name != OURS}
    if OURS not in better or not others:
        return Verdict(target=target, found="", is_met=None)
    ours, best = better[OURS][value], min(others, key=others.__getitem__)
    found = f"{ours:.2f} ms, {ours / others[best]:.2f} times {best} ({others[best]:.2f} ms)"
    return Verdict(target=target, found=found, is_met=ours <= times * others[best])


def _columns(rows: Sequence[Row], model_ms: float | None) -> Verdict:
    target = f"4,096 rows in columns: within {OF_IN_PROCESS:g} times the model in process"
    ours = [row for row in rows if row["server"].startswith(OURS) and row["load"].startswith(COLUMNS)]
    if not ours or model_ms is None:
        return Verdict(target=target, found="", is_met=None)
    best = min(ours, key=lambda row: row["p50_ms"])
    way = f"{best['server']}, {best['load'].removeprefix(COLUMNS)}"
    found = f"p50 {best['p50_ms']:.2f} ms ({way}), {best['p50_ms'] / model_ms:.1f} times {model_ms:.2f} ms"
    return Verdict(target=target, found=found, is_met=best["p50_ms"] <= OF_IN_PROCESS * model_ms)


def _paced(rows: Sequence[Row], peak: Row | None) -> Verdict:
    target = f"80% of the peak: p99 below {PACED_P99_MS:g} ms, none failed"
    ours = [row for row in rows if row["load"] == PACED and row["server"] == OURS]
    paced = [row for row in ours if peak is not None and row["workers"] == peak["workers"]]
    if not paced:
        return Verdict(target=target, found="", is_met=None)
    row = paced[0]
    found = f"{row['p99_ms']:.2f} ms at {row['requests_per_s']:,.0f} requests/s ({row['workers']} workers)"
    found += f", {row['failed']} failed"
    return Verdict(target=target, found=found, is_met=row["p99_ms"] < PACED_P99_MS and not row["failed"])
