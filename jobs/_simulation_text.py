"""The outcome of a simulation as text for people and as JSON for programs."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from heliostat.simulate.outcome import LOOP, NEVER, Outcome, verdict
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
        f"{title}: {found.num_scored:,} scored rows after the first part, {found.label_rate:.1%} of them labelled 1",
        *remarks,
        "",
        *_table(found),
        "",
        "accuracy by tenth of the scored rows",
        *_deciles(found),
        "",
        *_turns(found.accounts[LOOP]),
        "",
        *verdict(found),
    ]
    return "\n".join(lines)


def _table(found: Outcome) -> list[str]:
    head = ("accuracy (95% interval)", "log loss", "AUC", "turns", "fits", "promoted", "labels", "CPU-s")
    lines = [f"{'':32}{head[0]:>27}" + "".join(f"{name:>10}" for name in head[1:])]
    for policy, title in TITLE_BY_POLICY.items():
        scores, account = found.scores[policy], found.accounts[policy]
        accuracy = scores.accuracy
        interval = f"{accuracy.mean:.4f} ({accuracy.low:.4f}-{accuracy.high:.4f})"
        counts = (account.num_turns, account.num_fits, account.num_promotions, f"{account.num_labels:,}")
        lines.append(
            f"{title:32}{interval:>27}{scores.log_loss.mean:>10.4f}{scores.auc:>10.4f}"
            + "".join(f"{count:>10}" for count in counts)
            + f"{account.cpu_s:>10.1f}"
        )
    return lines


def _deciles(found: Outcome) -> list[str]:
    shown = (NEVER, found.best_schedule, LOOP)
    return [
        f"{TITLE_BY_POLICY[policy]:32}" + "".join(f"{one:>7.3f}" for one in found.scores[policy].decile_accuracy)
        for policy in shown
    ]


def _turns(account: Account) -> list[str]:
    counts = f"turns of the loop: {account.num_turns}; alarms: {len(account.alarms)}"
    lines = [f"{counts}; labels watched: {account.num_watched:,}"]
    lines += [f"  row {turn.row:,}: {turn.reason} → {turn.outcome}" for turn in account.turns[:NUM_SHOWN]]
    lines += [f"  alarm at row {alarm.row:,}: {alarm.reason}" for alarm in account.alarms[:NUM_SHOWN]]
    if max(len(account.turns), len(account.alarms)) > NUM_SHOWN:
        lines.append("  (all of them with --json)")
    return lines


def as_json(found: Outcome, *, remarks: Sequence[str]) -> dict[str, Any]:
    """Plain values; `score` is the accuracy, higher is better."""
    scores, accounts = found.scores, found.accounts
    loop = accounts[LOOP]
    return {
        "score": {name: one.accuracy.mean for name, one in scores.items()},
        "score_interval": {name: [one.accuracy.low, one.accuracy.high] for name, one in scores.items()},
        "metric": "accuracy",
        "log_loss": {name: one.log_loss.mean for name, one in scores.items()},
        "log_loss_interval": {name: [one.log_loss.low, one.log_loss.high] for name, one in scores.items()},
        "auc": {name: None if math.isnan(one.auc) else one.auc for name, one in scores.items()},
        "turns": {name: one.num_turns for name, one in accounts.items()},
        "fits": {name: one.num_fits for name, one in accounts.items()},
        "promotions": {name: one.num_promotions for name, one in accounts.items()},
        "labels": {name: one.num_labels for name, one in accounts.items()},
        "labels_watched": loop.num_watched,
        "cpu_s": {name: round(one.cpu_s, 3) for name, one in accounts.items()},
        "best_schedule": found.best_schedule,
        "best_gain": found.best_gain,
        "gain_share": found.gain_share,
        "gain_share_log_loss": found.gain_share_log_loss,
        "loop_less_never": {name: asdict(one) for name, one in found.loop_less_never.items()},
        "loop_less_even": {name: asdict(one) for name, one in found.loop_less_even.items()},
        "loop_less_best_schedule": {name: asdict(one) for name, one in found.loop_less_best.items()},
        "alarms": len(loop.alarms),
        "alarm_list": [_note(alarm) for alarm in loop.alarms],
        "turn_list": [_note(turn) for turn in loop.turns],
        "deciles": {name: list(one.decile_accuracy) for name, one in scores.items()},
        "deciles_log_loss": {name: list(one.decile_log_loss) for name, one in scores.items()},
        "num_rows": found.num_rows,
        "num_scored": found.num_scored,
        "remarks": list(remarks),
        "verdict": list(verdict(found)),
    }


def _note(note: TurnNote) -> dict[str, Any]:
    return asdict(note)
