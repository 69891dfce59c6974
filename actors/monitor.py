"""Watches one workload: drift by window, quality by matured cohort, and says when to retrain.

Reads:  lake: predictions, labels; catalog: aliases, versions, journal; bundles: reference profiles
Writes: catalog: its state, and its decisions in the journal
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from actors.counting import LabelCounting
from actors.judged import changes, known_until, references
from actors.leases import Holder
from actors.maturing import Maturing
from actors.proxy import catalog
from actors.shut_out import measured as measured_suspicions
from actors.watch import Watch
from heliostat.records import num_learned
from heliostat.settings import Settings
from heliostat.store.bundles import read_bundle
from heliostat.store.lake import Lake
from heliostat.store.schema import prediction_schema
from heliostat.watch import answers, turns
from heliostat.watch.alarms import measured_alarms
from heliostat.watch.bins import CategoryBins, NumberBins
from heliostat.watch.events import ChampionChanged, Decision, Event, Tick, TurnEnded
from heliostat.watch.exposition import exposition
from heliostat.watch.followed import Followed, kind_of
from heliostat.watch.label_counts import measured_labels
from heliostat.watch.monitor import MonitorState
from heliostat.watch.profile import Profile
from heliostat.watch.told import frequent_values, told_of
from heliostat.watch.windows import Windows, unsent_cells

STATE = "monitor"
TRAFFIC_SPAN = timedelta(days=7)


class Monitor:
    """Follows the lake's tables in order; its decisions depend on their content and on the clock it is given."""

    def __init__(self, watch: Watch, settings: Settings) -> None:
        self._watch = watch
        self._lake = Lake(settings.lake_uri)
        self._holder = Holder(f"monitor/{watch.workload}")
        self._state: MonitorState | None = None
        self._windows: Windows | None = None
        self._followed = Followed()
        self._counting = LabelCounting(watch, self._lake)
        self._maturing = Maturing(watch, self._lake)
        self._metrics: str | None = None
        self._heard: dict[str, Mapping[str, int]] = {}

    def observe(self, clock: datetime) -> datetime:
        """Take in all that is in the lake, and close every window that ended by `clock`; the clock it has reached.

        Decisions are in the journal, in the same transaction as the state that led to them. Called again with the
        same clock and tables it decides nothing new.
        """
        try:
            state = self._restored()
            # One after the other: which cohorts are looked at depends on the champion that was just taken in.
            decisions = [decision for event in self._events(clock) for decision in state.handle(event)]
            self._store(clock, decisions)
            self._metrics = self._exposition(clock)
        except BaseException:
            self._state = self._windows = None  # what was decided but not stored must be decided again
            raise
        return clock

    def status(self) -> dict[str, Any]:
        """How far it is, the version it watches, and why labels are not counted (None where they are)."""
        state = self._restored()
        champion = state.champion
        return {
            "matured_until": self._followed.matured_until,
            "watched_version": None if champion is None else champion.version,
            "frequent_values": frequent_values(state, self._windows),
            "num_too_late": 0 if self._windows is None else self._windows.num_too_late,
            "last_error": self._counting.last_error,
        }

    def matured(self, since: datetime) -> tuple[int, float | None]:
        """(labelled rows of cohorts since then, rows asked a day in the newest ones), as of the last observation."""
        self._restored()
        until = self._followed.matured_until
        per_day = None if until is None else self._followed.due.per_day(until=until, span=TRAFFIC_SPAN)
        return self._followed.labelled.since(since), per_day

    def hear_failures(self, replica: str, num_by_status: Mapping[str, int]) -> None:
        """A replica's totals of requests that failed count from the next observation on.

        Called beside an observation that runs; a replica that is heard again says all of it again.
        """
        self._heard[replica] = num_by_status

    def metrics(self) -> str:
        """The figures of the last observation in Prometheus' text format.

        Called beside an observation that runs, so it only reads what the last one left; after a restart that is little
        until the next.
        """
        return self._metrics or exposition(self._watch.workload)

    def _exposition(self, clock: datetime) -> str:
        state = self._restored()
        ended = catalog().get_state(self._watch.workload, "turns") or {"turns": []}
        sensitive = self._watch.watching.sensitive
        told = told_of(
            state,
            windows=self._windows,
            awaited=self._followed.awaited,
            sensitive=sensitive,
            clock=clock,
            task=self._watch.task,
        )
        return exposition(
            self._watch.workload,
            measured=[
                *told,
                *measured_labels(self._followed.told_labels, is_up=self._counting.last_error is None),
                *measured_suspicions(catalog(), self._watch.workload),
                *turns.measured(ended["turns"]),
                *measured_alarms(ended["turns"]),
            ],
            answers_by_version=self._followed.answers,
            num_by_decision=self._followed.num_by_decision,
            num_by_label_outcome=self._followed.told_labels.num_by_outcome,
            num_failed_by_status=self._followed.failures.num_by_status,
        )

    def _events(self, clock: datetime) -> Iterator[Event]:
        """In the order in which they are told: what ended, who serves, what moved, what matured, the time."""
        for replica in [*self._heard]:
            self._followed.failures = self._followed.failures.heard(replica, self._heard[replica])
        yield from self._turns_ended(clock)
        yield from self._champion_changes()
        yield from self._closed_windows(clock)
        champion = self._restored().champion
        yield from self._maturing.cohorts(
            self._followed, clock=clock, champion_at=None if champion is None else champion.at, groups=self._groups()
        )
        yield Tick(at=clock)

    def _champion_changes(self) -> list[Event]:
        """The champion, if it is another one than the watched."""
        name, state = self._watch.workload, self._restored()
        number = catalog().aliases(name).get("champion")
        if number is None or (state.champion is not None and state.champion.version == number):
            return []
        change, judged = changes(name, number)
        lineage, inputs = catalog().version(name, number).lineage, judged.payload["inputs"]
        self._windows = Windows(
            self._profile(number),
            version=number,
            span=self._watch.loop.window,
            has_sketches=True,
            task=self._watch.task,
            grouped_by=self._watch.watching.columns,
        )
        return [
            ChampionChanged(
                at=datetime.fromisoformat(change.payload["inputs"]["clock"]),
                version=number,
                trained_until=known_until(lineage, inputs),
                num_training_rows=num_learned(lineage),
                reference_by_metric=references(inputs, loss=self._watch.task.loss.name),
                has_won=inputs.get("sure_gain", 0.0) > 0 and not inputs.get("is_returned"),
            )
        ]

    def _turns_ended(self, clock: datetime) -> list[Event]:
        """The turns that ended, once the rest after the last of them is over: until then nothing is said again."""
        ended = catalog().entries(self._watch.workload, kind="turn_ended", after_sequence=self._followed.seen_sequence)
        rests_until = ended[-1].payload.get("rests_until") if ended else None
        if not ended or (rests_until is not None and clock < datetime.fromisoformat(rests_until)):
            return []
        self._followed.seen_sequence = ended[-1].sequence
        return [
            TurnEnded(at=datetime.fromisoformat(entry.payload["at"]), is_in_vain=entry.payload["outcome"] != "promoted")
            for entry in ended
        ]

    def _closed_windows(self, clock: datetime) -> list[Event]:
        rows, self._followed.read_until = self._lake.changes(
            self._watch.workload,
            "predictions",
            after_version=self._followed.read_until,
            schema=prediction_schema(self._watch.columns, task=self._watch.task),
        )
        self._followed.awaited = self._followed.awaited.seen(rows)
        self._followed.answers = answers.count(rows, before=self._followed.answers)
        self._followed.told_labels = self._counting.counted(
            self._followed.told_labels,
            predictions=rows,
            clock=clock,
            wait=self._followed.awaited.wait,
            matured_until=self._followed.matured_until,
        )
        if self._windows is None:
            return []
        if rows.num_rows:
            unsent = unsent_cells(rows, self._watch.sent_by_revision)
            task = self._watch.task
            given = task.answers(rows)
            self._windows.add(rows, task.output(given), unsent=unsent, answers=given, clock=clock)
        return list(self._windows.close(clock))

    def _groups(self) -> Sequence[NumberBins | CategoryBins]:
        """By which quality is told apart: the champion's bins of the watched columns."""
        return () if self._windows is None else self._windows.profile.bins_of(self._watch.watching.columns)

    def _profile(self, number: int) -> Profile:
        version = catalog().version(self._watch.workload, number)
        return Profile.from_json(json.loads(read_bundle(version.bundle_uri, version.bundle_hash)["profile.json"]))

    def _restored(self) -> MonitorState:
        """The state in memory, or after a start the one that was stored last."""
        if self._state is not None:
            return self._state
        stored = catalog().get_state(self._watch.workload, STATE)
        if stored is None:
            self._state, self._followed = MonitorState(self._watch.triggers), Followed()
            return self._state
        self._state = MonitorState.from_json(stored["state"], triggers=self._watch.triggers)
        self._followed = Followed.from_json(stored)
        if stored["windows"] is not None:
            profile = self._profile(stored["windows"]["version"])
            self._windows = Windows.from_json(
                stored["windows"],
                profile=profile,
                span=self._watch.loop.window,
                has_sketches=True,
                task=self._watch.task,
                grouped_by=self._watch.watching.columns,
            )
        return self._state

    def _store(self, clock: datetime, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            self._followed.num_by_decision[kind_of(decision)] += 1
        stored = {
            "clock": clock,
            "state": self._restored().to_json(),
            "windows": None if self._windows is None else self._windows.to_json(),
            **self._followed.to_json(),
        }
        catalog().put_state(
            self._watch.workload,
            STATE,
            stored,
            by=self._holder.name,
            at=datetime.now(UTC),
            lease=self._holder.lease(),
            journal=[self._journalled(decision) for decision in decisions],
        )

    def _journalled(self, decision: Decision) -> tuple[str, dict[str, Any]]:
        tables = {"predictions": self._followed.read_until}
        return kind_of(decision), {**asdict(decision), "tables": tables}
