"""All policies on one stream with one learner."""

from collections.abc import Callable
from itertools import product

from heliostat.declared.economics import Economics
from heliostat.simulate.learner import Learner
from heliostat.simulate.loop import Loop
from heliostat.simulate.outcome import EVEN, LOOP, NEVER, Outcome, outcome
from heliostat.simulate.play import Clock, Even, Never, Played, Scheduled, Turning, play
from heliostat.simulate.policy import Policy
from heliostat.simulate.stream import Stream
from heliostat.simulate.turns import Trainer

SCHEDULE_SHARES = (0.05, 0.1, 0.2)
Tell = Callable[[str], None]


def compare(
    stream: Stream, learner: Learner, *, clock: Clock, tell: Tell, economics: Economics | None = None
) -> Outcome:
    """Never, schedules, the loop, and its number of turns at even distances, all from the same first model.

    `clock` gives CPU-seconds; only costs depend on it, and with `economics` which turns are worth theirs. `tell` is
    given the progress.
    """
    policy = Policy.of(stream, economics=economics)
    trainer = Trainer(stream, learner, policy)
    tell("first model")
    first = trainer.fit_unjudged(stream.first_step, number=1)

    def played(name: str, turning: Turning) -> Played:
        return play(stream, first, turning, clock=clock, tell=lambda text: tell(f"{name}: {text}"))

    loop = played(LOOP, Loop(stream, trainer, policy, clock=clock))
    others = rivals(stream, trainer, num_turns=loop.account.num_turns)
    return outcome(stream, {LOOP: loop, **{name: played(name, turning) for name, turning in others.items()}})


def rivals(stream: Stream, trainer: Trainer, *, num_turns: int) -> dict[str, Turning]:
    """What a loop that took so many turns is compared with, by name."""
    found: dict[str, Turning] = {NEVER: Never()}
    for share, is_recent in product(SCHEDULE_SHARES, (False, True)):
        name = f"schedule_{share:.0%}{'_recent' if is_recent else ''}"
        found[name] = Scheduled(stream, trainer, share=share, is_recent=is_recent)
    return {**found, EVEN: Even(stream, trainer, num_turns=num_turns)}
