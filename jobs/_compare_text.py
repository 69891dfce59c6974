"""A comparison of two versions as a table for people."""

from heliostat.govern.comparison import Comparison, Slice, Times

NUM_SLICES = 12


def render(workload: str, found: Comparison) -> str:
    """The whole of it, and the slices where the two differ most."""
    asked = f"{found.num_asked:,} of {found.num_answered:,} answered rows were put to both"
    lines = [
        f"{workload}: version {found.version} beside version {found.against or '-'}, {asked}",
        f"errors        {found.num_errors:,}" + (f" ({found.error})" if found.error else ""),
    ]
    if found.agreement is not None:
        lines.append(f"agreement     {found.agreement:.2%} of {found.num_compared:,} rows")
        lines.append(f"distance      {found.distance:.4f} on average, {found.distance_p95:.4f} for 95% of the rows")
    lines.append(f"model time    {_times(found.own_ms)} (version {found.version})")
    lines.append(f"              {_times(found.other_ms)} (version {found.against or '-'})")
    if found.losses is not None:
        low, high = (found.losses.mean_difference + sign * 1.96 * found.losses.standard_error for sign in (-1, 1))
        lines.append(
            f"loss          {found.losses.mean_difference:+.4f} ({low:+.4f} to {high:+.4f}) on "
            f"{found.losses.num_rows:,} rows with a label; below zero version {found.version} is better"
        )
    if found.slices:
        lines += ["", f"{'most apart':38}{'rows':>9}{'agreement':>11}{'distance':>10}{'loss':>9}"]
        lines += [_slice(part) for part in sorted(found.slices, key=lambda part: -part.distance)[:NUM_SLICES]]
    return "\n".join(lines)


def _times(times: Times | None) -> str:
    if times is None:
        return "not measured"
    return f"p50 {times.p50:.2f} ms, p95 {times.p95:.2f} ms, p99 {times.p99:.2f} ms a batch"


def _slice(part: Slice) -> str:
    loss = "" if part.loss_difference is None else f"{part.loss_difference:+.4f}"
    name = f"{part.column} = {part.value}"
    return f"  {name:36.36}{part.num_rows:>9,}{part.agreement:>11.1%}{part.distance:>10.4f}{loss:>9}"
