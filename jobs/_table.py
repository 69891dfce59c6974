"""The stored result of a replay as a table for people."""

from typing import Any

LABEL_BY_POLICY = {
    "constant": "(a) constant rate",
    "never": "(b) first champion, never retrained",
    "loop": "(c) the loop",
    "trees": "(d) HistGradientBoosting, never retrained",
    "trees_monthly": "(e) HistGradientBoosting, every month",
}


def render(result: dict[str, Any]) -> str:
    """The stored result as a table for people."""
    replayed = result["replay"]
    names = list(result["scores"]["loop"])
    loss = result.get("loss", "log_loss").replace("_", " ")  # a result of before labels had kinds says none
    lines = [
        f"{result['workload']}: {replayed['since'][:10]} to {replayed['until'][:10]}, "
        f"{result['rows_with_label']:,} answered rows with a label (made {result['made_at']})",
        "",
        f"{'':44}" + "".join(f"{name:>19}" for name in names),
    ]
    for policy, title in LABEL_BY_POLICY.items():
        scores = result["scores"][policy]
        lines.append(f"{title:44}" + "".join(f"{scores[name]:>19.4f}" for name in names))
    lines.append("")
    for other, difference in result["differences"].items():
        lines.append(
            f"{loss} of (c) less {LABEL_BY_POLICY[other]}: {difference['mean']:+.4f} "
            f"(95% interval {difference['low']:+.4f} to {difference['high']:+.4f})"
        )
    lines += ["", f"turns: {len(result['turns'])}; labelled rows in the last fit: {result['labels_used']:,}"]
    lines += [_turn_line(turn) for turn in result["turns"]]
    lines += [
        "",
        f"requests: {replayed['num_requests']:,} sent, {replayed['num_answered']:,} answered, "
        f"{replayed['num_failed']:,} failed; {replayed['num_labels']:,} labels sent",
    ]
    return "\n".join(lines)


def _turn_line(turn: dict[str, Any]) -> str:
    def day(name: str) -> str:
        return str(turn[name])[:10] if turn.get(name) else "-"

    # Age and growth have no onset: nothing changed at the moment they ask.
    onset = "" if turn["onset_at"] == turn["detected_at"] else f"onset {day('onset_at')} → "
    return (
        f"  turn {turn['turn']}: {onset}detected {day('detected_at')} → {turn['outcome']} {day('ended_at')}"
        f"  {'; '.join(turn['reasons'])}"
    )
