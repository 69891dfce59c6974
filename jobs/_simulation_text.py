"""The outcome of a simulation as text for people and as JSON for programs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from heliostat.simulate.outcome import LOOP, NEVER, Interval, Outcome, verdict
from heliostat.simulate.play import Account, TurnNote

NUM_SHOWN = 12
TITLE_BY_POLICY = {
    "never": "never again",
    "schedule_5%": "every 5%, all history",
    "schedule_10%": "every 10%, all history",
    "schedule_20%": "every 20%, all history",
    "schedule_5%_recent": "every 5%, recent rows",
    "schedule_10%_recent": "every 10%, recent rows",
    "schedule_20%_recent": "every 20%, recent rows",
    "loop": "the loop",
    "even": "as many turns, even distances",
}


def render(found: Outcome, *, title: str, remarks: Sequence[str]) -> str:
    """All of it on one screen or two; the answer comes last."""
    lines = [
        f"{title}: {found.num_scored:,} scored rows after the first part{_labelled(found)}",
        *remarks,
        "",
        *_table(found),
        "",
        f"{found.task.score.title} by tenth of the scored rows",
        *_deciles(found),
        "",
        *_turns(found.accounts[LOOP]),
        "",
        *verdict(found),
    ]
    return "\n".join(lines)


def _table(found: Outcome) -> list[str]:
    loss, score = found.task.loss.title, found.task.score.title
    ranked_by = "AUC" if found.task.kind == "binary" else ""
    head = (f"{score} (95% interval)", loss, ranked_by, "turns", "fits", "promoted", "labels", "CPU-s")
    lines = [f"{'':32}{head[0]:>31}" + "".join(f"{name:>10}" for name in head[1:])]
    for policy, title in TITLE_BY_POLICY.items():
        scores, account = found.scores[policy], found.accounts[policy]
        interval = f"{scores.score.mean:.4f} ({scores.score.low:.4f} to {scores.score.high:.4f})"
        ranked = "" if scores.auc is None else f"{scores.auc:.4f}"
        counts = (account.num_turns, account.num_fits, account.num_promotions, f"{account.num_labels:,}")
        lines.append(
            f"{title:32}{interval:>31}{scores.loss.mean:>10.4g}{ranked:>10}"
            + "".join(f"{count:>10}" for count in counts)
            + f"{account.cpu_s:>10.1f}"
        )
    return lines


def _deciles(found: Outcome) -> list[str]:
    shown = (NEVER, found.best_schedule, LOOP)
    return [
        f"{TITLE_BY_POLICY[policy]:32}" + "".join(f"{one:>7.3f}" for one in found.scores[policy].decile_score)
        for policy in shown
    ]


def _turns(account: Account) -> list[str]:
    counts = f"turns of the loop: {account.num_turns}; alarms: {len(account.alarms)}"
    lines = [f"{counts}; labels watched: {account.num_watched:,}"]
    lines += [f"  row {turn.row:,}: {turn.reason} → {turn.outcome}" for turn in account.turns[:NUM_SHOWN]]
    lines += [f"  row {one.row:,}: {one.reason} → {one.outcome}" for one in account.declined[:NUM_SHOWN]]
    lines += [f"  alarm at row {alarm.row:,}: {alarm.reason}" for alarm in account.alarms[:NUM_SHOWN]]
    if max(len(account.turns), len(account.alarms)) > NUM_SHOWN:
        lines.append("  (all of them with --json)")
    return lines


def as_json(found: Outcome, *, remarks: Sequence[str]) -> dict[str, Any]:
    """Plain values; `score` is the metric that is named, higher is better, `loss` lower."""
    scores, accounts = found.scores, found.accounts
    loop, loss = accounts[LOOP], found.task.loss.name
    return {
        "score": {name: one.score.mean for name, one in scores.items()},
        "score_interval": {name: [one.score.low, one.score.high] for name, one in scores.items()},
        "metric": found.task.score.name,
        "loss_metric": loss,
        loss: {name: one.loss.mean for name, one in scores.items()},
        f"{loss}_interval": {name: [one.loss.low, one.loss.high] for name, one in scores.items()},
        "auc": {name: None if one.auc is None or math.isnan(one.auc) else one.auc for name, one in scores.items()},
        "turns": {name: one.num_turns for name, one in accounts.items()},
        "fits": {name: one.num_fits for name, one in accounts.items()},
        "promotions": {name: one.num_promotions for name, one in accounts.items()},
        "labels": {name: one.num_labels for name, one in accounts.items()},
        "labels_watched": loop.num_watched,
        "cpu_s": {name: round(one.cpu_s, 3) for name, one in accounts.items()},
        "best_schedule": found.best_schedule,
        "best_gain": found.best_gain,
        "gain_share": found.gain_share,
        f"gain_share_{loss}": found.gain_share_loss,
        "loop_less_never": _differences(found, found.loop_less_never),
        "loop_less_even": _differences(found, found.loop_less_even),
        "loop_less_best_schedule": _differences(found, found.loop_less_best),
        "alarms": len(loop.alarms),
        "alarm_list": [_note(alarm) for alarm in loop.alarms],
        "declined_list": [_note(one) for one in loop.declined],
        "turn_list": [_note(turn) for turn in loop.turns],
        "deciles": {name: list(one.decile_score) for name, one in scores.items()},
        f"deciles_{loss}": {name: list(one.decile_loss) for name, one in scores.items()},
        "num_rows": found.num_rows,
        "num_scored": found.num_scored,
        "remarks": list(remarks),
        "verdict": list(verdict(found)),
    }


def _differences(found: Outcome, interval_by_name: Mapping[str, Interval]) -> dict[str, Any]:
    name_by_role = {"score": found.task.score.name, "loss": found.task.loss.name}
    return {name_by_role[role]: asdict(one) for role, one in interval_by_name.items()}


def _labelled(found: Outcome) -> str:
    if found.task.kind == "binary":
        return f", {found.label_mean:.1%} of them labelled 1"
    return f", whose labels are {found.label_mean:.4g} on average" if found.task.kind == "quantity" else ""


def _note(note: TurnNote) -> dict[str, Any]:
    return asdict(note)
