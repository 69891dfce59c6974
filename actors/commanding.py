"""Carries out what the loop decides: jobs, aliases, routing. Each command may be carried out twice."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from actors.leases import Holder
from actors.proxy import Proxy, catalog
from actors.watch import Watch
from cluster import applications, names, submit
from heliostat.errors import NotFoundError
from heliostat.govern.commands import (
    Command,
    Declined,
    Deferred,
    Demote,
    Ended,
    MakeChampion,
    Refused,
    Route,
    Stop,
    Submit,
    TurnRecord,
    Withdraw,
)
from heliostat.govern.numbers import numbers
from heliostat.govern.stored import record_to_json
from heliostat.settings import Settings

TURNS, NOTES = "turns", "notes"
PUBLISH_TIMEOUT_S = 180.0


def run_id(workload: str, turn: int) -> str:
    """The name of a turn's run; every attempt goes on under it."""
    return f"{workload}-turn-{turn}"


def submission_id(workload: str, turn: int, attempt: int) -> str:
    """The id of one attempt's job; Ray refuses an id a second time, also after a failure."""
    return f"{run_id(workload, turn)}-attempt-{attempt}"


class Commander:
    """The hands of a steward: knows how, never whether."""

    def __init__(self, watch: Watch, *, module: str, settings: Settings, holder: Holder) -> None:
        self._name, self._module = watch.workload, module
        self._settings, self._holder = settings, holder

    def carry_out(self, command: Command, *, clock: datetime) -> None:
        """Do it; when it was done before, nothing changes."""
        match command:
            case Submit():
                self._submit(command)
            case Stop():
                self._stop(command)
            case Route():
                self._trial(command.version, command.share, reasons=(f"turn {command.turn}",), clock=clock)
            case MakeChampion():
                inputs = self._judged(command.turn)
                self.promote(command.version, by=self._holder.name, reasons=command.reasons, inputs=inputs, clock=clock)
            case Withdraw():
                self._trial(None, 0.0, reasons=command.reasons, clock=clock)
            case Demote():
                self.roll_back(command.version, by=self._holder.name, clock=clock, reasons=command.reasons)
            case Ended():
                self._write_down(command.record)
            case Deferred() | Declined() | Refused():
                self._note(command, clock=clock)

    def promote(
        self, version: int, *, by: str, reasons: Sequence[str], inputs: dict[str, Any], clock: datetime
    ) -> None:
        """The version is champion in the catalog and on every replica."""
        catalog().promote(
            self._name,
            version,
            reasons=reasons,
            inputs={**inputs, "clock": clock.isoformat()},
            by=by,
            at=datetime.now(UTC),
            lease=self._holder.lease(),
        )
        self.publish()

    def roll_back(
        self, champion: int | None, *, by: str, clock: datetime, reasons: Sequence[str] = ("asked for",)
    ) -> None:
        """The version before `champion` is champion again, in the catalog and on every replica."""
        catalog().rollback(
            self._name,
            champion=champion,
            reasons=reasons,
            inputs={"clock": clock.isoformat()},
            by=by,
            at=datetime.now(UTC),
            lease=self._holder.lease(),
        )
        self.publish()

    def publish(self) -> None:
        """Every replica has the route of the catalog when this returns."""
        application_by_workload = Proxy(names.CATALOG, timeout_s=PUBLISH_TIMEOUT_S).publish()
        application = application_by_workload.get(self._name, names.application(self._name))
        applications.wait_until_running(self._settings, application, timeout_s=PUBLISH_TIMEOUT_S)

    def _submit(self, command: Submit) -> None:
        run = run_id(self._name, command.turn)
        submit.submit(
            self._settings,
            "jobs.retrain",
            arguments=[
                self._module,
                *("--run", run),
                *("--as-of", command.as_of.isoformat()),
                *([] if command.onset_at is None else ["--onset", command.onset_at.isoformat()]),
                *(["--in-doubt"] if command.is_in_doubt else []),
                *("--by", self._holder.name),
            ],
            submission_id=submission_id(self._name, command.turn, command.attempt),
            tags=submit.JobTags(
                job_class="retrain", workload=self._name, turn=str(command.turn), attempt=command.attempt
            ),
        )

    def _stop(self, command: Stop) -> None:
        identifier = submission_id(self._name, command.turn, command.attempt)
        if submit.state(self._settings, identifier) is not None:
            submit.stop(self._settings, identifier)

    def _trial(self, version: int | None, share: float, *, reasons: Sequence[str], clock: datetime) -> None:
        catalog().set_candidate(
            self._name,
            version,
            share=share,
            reasons=reasons,
            inputs={"clock": clock.isoformat()},
            by=self._holder.name,
            at=datetime.now(UTC),
            lease=self._holder.lease(),
        )
        self.publish()

    def _judged(self, turn: int) -> dict[str, Any]:
        """What the gate saw, for the journal and for the monitor's reference."""
        try:
            result = catalog().run(run_id(self._name, turn)).result or {}
        except NotFoundError:
            return {"turn": turn}
        kept = ("scores", "holdout_rows", "constant", "inputs", "is_returned", "sure_gain")
        return {"turn": turn, **{name: result[name] for name in kept if name in result}}

    def _write_down(self, record: TurnRecord) -> None:
        stored = catalog().get_state(self._name, TURNS) or {"turns": []}
        if any(turn["turn"] == record.turn for turn in stored["turns"]):
            return
        written = {**record_to_json(record), "numbers": numbers(record)}
        catalog().put_state(
            self._name,
            TURNS,
            {"turns": [*stored["turns"], written]},
            by=self._holder.name,
            at=datetime.now(UTC),
            lease=self._holder.lease(),
            journal=[("turn_ended", {"at": written["ended_at"], **written})],
        )

    def _note(self, command: Deferred | Declined | Refused, *, clock: datetime) -> None:
        """In the journal once: what was noted at this clock is kept beside it, because a journal row has no name."""
        note = {**_noted(command), "reasons": list(command.reasons), "clock": clock.isoformat()}
        kind = note["kind"]
        stored = catalog().get_state(self._name, NOTES) or {"notes": []}
        notes = [earlier for earlier in stored["notes"] if earlier["clock"] == note["clock"]]
        if note in notes:
            return
        catalog().put_state(
            self._name,
            NOTES,
            {"notes": [*notes, note]},
            by=self._holder.name,
            at=datetime.now(UTC),
            lease=self._holder.lease(),
            journal=[(kind, {name: value for name, value in note.items() if name != "kind"})],
        )


def _noted(command: Deferred | Declined | Refused) -> dict[str, Any]:
    """The kind of journal row, why, and the figures where there are any."""
    match command:
        case Deferred():
            return {"kind": "ask_deferred", "why": f"waits until {command.until.isoformat()}"}
        case Refused():
            return {"kind": "ask_refused", "why": command.why}
        case Declined():
            figures = {name: getattr(command, name) for name in ("expected_gain", "worth", "cost", "spent")}
            return {"kind": "ask_declined", "why": command.why, **figures}
