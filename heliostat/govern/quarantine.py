"""Whose labels are not learned from: what the screen suspects, and what people decide about it.

Both are in the journal, and what holds follows from its rows in order: the later one counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

SUSPECTED, RELEASED, KEPT_OUT = "labels_suspected", "labels_released", "labels_kept_out"
EVER = datetime(9999, 1, 1, tzinfo=UTC)  # a source that is kept out has no end until it is released
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Labels that a source told within a span of arrival, and why nobody learns from them."""

    source: str
    since: datetime
    until: datetime
    why: str

    def to_json(self) -> dict[str, str]:
        """Plain values; `cohorts.without` takes them."""
        return {**asdict(self), "since": self.since.isoformat(), "until": self.until.isoformat()}

    def without(self, since: datetime, until: datetime) -> "list[Span]":
        """What is left of it outside another span."""
        before = Span(source=self.source, since=self.since, until=min(self.until, since), why=self.why)
        after = Span(source=self.source, since=max(self.since, until), until=self.until, why=self.why)
        return [part for part in (before, after) if part.since < part.until]


def quarantined(said: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Span]:
    """The spans that hold after journal rows (kind and payload) in order; rows of other kinds change nothing."""
    spans: list[Span] = []
    for kind, payload in said:
        if kind not in (SUSPECTED, RELEASED, KEPT_OUT):
            continue
        source, since, until = payload["source"], _instant(payload["since"]), _instant(payload["until"])
        if kind == RELEASED:
            spans = [
                part for span in spans for part in (span.without(since, until) if span.source == source else [span])
            ]
        elif kind == KEPT_OUT or payload["is_shut_out"]:
            spans.append(Span(source=source, since=since, until=until, why=str(payload["reason"])))
    return sorted(set(spans), key=lambda span: (span.source, span.since, span.until))


def is_new(found: Mapping[str, Any], said: Iterable[tuple[str, Mapping[str, Any]]]) -> bool:
    """Whether a suspicion says more than the journal's rows in order: a source is shut out that was not before.

    A window that was told once is told again only then: a source that seemed alone may not be when all others of its
    window were heard. What people released since is settled.
    """
    is_told = is_settled = False
    for kind, payload in said:
        if payload["source"] != found["source"]:
            continue
        if kind == SUSPECTED and payload["since"] == found["since"]:
            is_told, is_settled = True, is_settled or payload["is_shut_out"]
        elif kind == RELEASED and is_told:
            is_over = _instant(payload["until"]) <= _instant(found["since"])
            is_later = _instant(payload["since"]) >= _instant(found["until"])
            is_settled = is_settled or not (is_over or is_later)
    return not is_told or (found["is_shut_out"] and not is_settled)


def may_have_taught(shut_out: Iterable[Mapping[str, str]], lineage: Mapping[str, Any]) -> bool:
    """Whether a version may have learned from labels that nobody should learn from any more.

    Whatever its own training did not leave out counts: who goes on from it would go on from those labels too.
    """
    left_out = [dict(span) for span in lineage.get("shut_out", ())]
    return any(dict(span) not in left_out for span in shut_out)


def _instant(value: str | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
