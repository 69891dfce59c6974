"""One epoch at a time: shuffled batches, a share of them for each worker, one step of the optimizer per batch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from heliostat.learn import parallel
from heliostat.learn.asked import Asked
from heliostat.learn.encoder import Ready
from heliostat.learn.examples import Examples
from heliostat.learn.faults import RAISED, StepFaultError, Work, fault, telling
from heliostat.learn.objective import Objective
from heliostat.learn.randomness import derived_seed, seed_all
from heliostat.learn.separate_parts import separate_parts, single_numbers
from heliostat.learn.shares import Feed, Share
from heliostat.learn.unused_weights import has_unused_weights
from heliostat.workload import Workload

WARM_UP_SHARE = 0.05
OnPause = Callable[[int, float], None]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step is done: the `number`th of the fit, from 1, over `num_rows` rows of all workers.

    `loss` is that of this worker's rows, and lies where the network does. A fit has `num_steps` in `num_epochs`, unless
    it is ended early.
    """

    number: int
    num_steps: int
    num_epochs: int
    num_rows: int
    loss: torch.Tensor


OnStep = Callable[[Step], None]


def no_step(_: Step) -> None:
    """Stands for a fit whose steps nobody watches."""


def no_pause(num_steps: int, loss_total: float) -> None:
    """Stands for a fit that keeps no checkpoint inside an epoch."""


class Learner:
    """A network and its optimizer; every number that decides how it learns follows from the seed and the epoch."""

    def __init__(
        self,
        workload: Workload,
        module: nn.Module,
        *,
        objective: Objective,
        seed: int,
        device: str,
        on_step: OnStep = no_step,
        seen: Examples | None = None,
    ) -> None:
        """`seen` are rows that several workers try the network with: what parts it has, what it leaves out."""
        self.workload = workload
        self.on_step = on_step
        self.module = module
        self.seed = seed
        self.device = device
        self.asked = Asked(workload, module, objective=objective, seed=seed, device=device)
        self.is_sharded = self.asked.is_sharded
        settings = workload.training
        # Before the weights are parted: an optimizer numbers them, and must for any number of workers in one way.
        self._singles = single_numbers(module) if settings.shard else []
        self._averaging = self._laid_out(seen) if self.is_sharded else self._averaged(seen)
        self._trained: nn.Module = self._averaging
        if settings.compile:
            self._trained = cast(nn.Module, torch.compile(self._averaging, dynamic=True))
        # A group of their own: no call of the optimizer takes weights that are in parts together with others.
        groups = [[each for each in module.parameters() if not settings.shard or each.dim()], self._singles]
        self.optimizer = torch.optim.AdamW(
            [{"params": group} for group in groups if group],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def _laid_out(self, seen: Examples | None) -> nn.Module:
        from heliostat.learn.sharding import lay_out  # a second to import, and few networks need it

        parts = [] if seen is None else parallel.first_gives(lambda: self._separate_parts(seen))
        lay_out(self.module, parts=parts)
        return self.module

    def _averaged(self, seen: Examples | None) -> nn.Module:
        has_unused = (
            seen is not None
            and parallel.num_ranks() > 1
            and parallel.first_gives(lambda: self.asked.tried(seen, has_unused_weights))
        )
        return parallel.averaging(self.module, has_unused=has_unused)

    def _separate_parts(self, seen: Examples) -> list[str]:
        with torch.no_grad():
            return self.asked.tried(seen, separate_parts)

    def run_epoch(
        self, epoch: int, feed: Feed, *, first_step: int = 0, total: float = 0.0, on_pause: OnPause = no_pause
    ) -> float:
        """One pass over all rows; the mean loss of the batches, each before its step.

        Goes on at `first_step` with the `total` of the losses before it, as `on_pause` was told both every
        `Training(checkpoint_steps)` batches.
        """
        batch_rows = self.workload.training.batch_size
        num_batches, num_epochs = feed.num_batches(batch_rows), self.workload.training.epochs
        every = self.workload.training.checkpoint_steps or num_batches
        losses = torch.tensor(total, dtype=torch.float64, device=self.device)
        self._seed(epoch, first_step // every)
        self.module.train()
        num_rows = 0  # that this worker has learned from since running statistics were made equal
        for number, share in feed.shares(seeds=[self.seed, epoch], batch_rows=batch_rows, first_step=first_step):
            self._set_learning_rate((epoch + number / num_batches) / num_epochs)
            loss = self._step(share, epoch=epoch, num_left=min(every - number % every, num_batches - number))
            losses += loss
            num_rows += share.num_rows
            done = number + 1
            place = {"number": epoch * num_batches + done, "num_steps": num_epochs * num_batches}
            self.on_step(Step(**place, num_epochs=num_epochs, num_rows=share.num_rows_of_all, loss=loss))
            if done % every == 0 and done < num_batches:
                # All that differs between workers is made equal here, so that any one's state is that of all.
                parallel.share_buffers(self.module, num_rows=num_rows)
                num_rows = 0
                sum_so_far = float(parallel.mean_over_ranks(losses))
                if not math.isfinite(sum_so_far):  # before a checkpoint is kept of it
                    raise StepFaultError(self.asked.not_finite(sum_so_far, share.examples, epoch=epoch, among=feed))
                on_pause(done, sum_so_far)
                self._seed(epoch, done // every)
                self.module.train()
        parallel.share_buffers(self.module, num_rows=num_rows)
        return float(parallel.mean_over_ranks(losses)) / num_batches

    def _seed(self, epoch: int, part: int) -> None:
        """What is random from here on follows from the place alone, so that a fit can go on from it."""
        seed_all(derived_seed(self.seed, epoch, parallel.own_rank(), *([part] if part else [])))
        self.asked.encoder.begin()

    def _step(self, share: Share, *, epoch: int, num_left: int) -> torch.Tensor:
        """One step, the first of `num_left` until all that is random begins anew."""
        self.optimizer.zero_grad()
        pieces = share.pieces(self.workload.training.accumulate)
        if len(pieces) == 1:
            ready = self.asked.encoder.ready(share, num_left=num_left)
            total = self._backward(share, ready, epoch=epoch)
            self._move()
            return total
        total = torch.zeros((), device=self.device)
        for number, piece in enumerate(pieces):
            with parallel.added_up(self._averaging, is_last=number == len(pieces) - 1):
                total += self._backward(piece, self.asked.encoder.alone(piece.examples), epoch=epoch)
        self._move()
        return total

    def _move(self) -> None:
        """Move the weights by their gradients."""
        if self.is_sharded:
            parallel.average_gradients([each for each in self._singles if each.requires_grad])
        with telling("the network", self.workload):
            self.optimizer.step()

    def _backward(self, share: Share, ready: Ready, *, epoch: int) -> torch.Tensor:
        """Add the gradients of these rows; their loss by their share of the batch."""
        # One net for all of a step: a call for each part of it would cost what it catches too seldom to be worth.
        name, again = "the network", cast(Work[object], self.asked.answered)
        try:
            with self.asked.precision():
                logits = self.asked.forward(self._trained, ready.encoded, num_rows=share.num_rows)
            outputs = logits.float()  # the loss is taken in full width: a log of halves rounds to nothing
            # It takes a whole batch: no row is to blame.
            name, again = "loss", lambda _: self.asked.loss(outputs, ready.targets)
            loss = self.asked.loss(outputs, ready.targets)
            if share.weight != 1.0:
                loss = loss * share.weight
            found = loss.detach()
            self._refuse_not_finite(found, share, epoch=epoch)
            name, again = "the network", self.asked.answered
            loss.backward()  # type: ignore[no-untyped-call]
        except RAISED as error:
            told = fault(name, self.workload, error, share.examples, again=again)
            if told is None:
                raise
            raise told from error
        return found

    def _refuse_not_finite(self, loss: torch.Tensor, share: Share, *, epoch: int) -> None:
        if self.device == "cpu" and not math.isfinite(loss):  # a device would have to be waited for in every step
            raise StepFaultError(self.asked.not_finite(float(loss), share.examples, epoch=epoch))

    def _set_learning_rate(self, progress: float) -> None:
        """A short rise, then half a cosine down; it follows from progress alone, so a resumed fit needs no schedule."""
        rise = min(1.0, progress / WARM_UP_SHARE + 0.01)
        rate = self.workload.training.learning_rate * rise * (1 + math.cos(math.pi * progress)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate
