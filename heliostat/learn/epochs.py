"""One epoch at a time: shuffled batches, a share of them for each worker, one step of the optimizer per batch."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from heliostat.learn import not_finite, parallel
from heliostat.learn.encoder import Encoder, Ready
from heliostat.learn.examples import Examples
from heliostat.learn.faults import RAISED, StepFaultError, Work, fault, guarded, telling
from heliostat.learn.forward import forward
from heliostat.learn.new_network import new_network
from heliostat.learn.objective import Objective
from heliostat.learn.portions import in_portions, most_rows, piece_rows
from heliostat.learn.randomness import derived_seed, seed_all, seeded
from heliostat.learn.separate_parts import separate_parts, single_numbers
from heliostat.learn.shares import Feed, Share
from heliostat.learn.unused_weights import has_unused_weights
from heliostat.workload import Encoded, Workload

WARM_UP_SHARE = 0.05
Answer = TypeVar("Answer")
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
        self.outputs = objective.outputs
        self.loss, self.targets = objective.loss(workload.loss), objective.targets
        self._encoder = Encoder(workload, targets=objective.targets, device=device)
        settings = workload.training
        self.is_sharded = settings.shard and parallel.num_ranks() > 1
        self._alone: nn.Module | None = None
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
            and parallel.first_gives(lambda: self._tried(seen, has_unused_weights))
        )
        return parallel.averaging(self.module, has_unused=has_unused)

    def _separate_parts(self, seen: Examples) -> list[str]:
        with torch.no_grad():
            return self._tried(seen, separate_parts)

    def _tried(self, seen: Examples, look: Callable[..., Answer]) -> Answer:
        """What a fresh network lets see, which is given shares of batches."""
        fresh = self._fresh(seen).to(self.device)

        def answer(examples: Examples) -> torch.Tensor:
            encoded = self._encoder.told(examples)
            return self._told(lambda own: self._forward(fresh, encoded, num_rows=own.num_rows), examples)

        with seeded(self.seed, device=self.device), self._precision():
            num_rows = self.workload.training.batch_size // parallel.num_ranks()
            return look(fresh, seen, num_rows=num_rows, answer=answer)

    def _fresh(self, examples: Examples) -> nn.Module:
        """A network on the CPU that has learned nothing, and that this worker may ask alone."""
        with seeded(self.seed, device="cpu"):
            return new_network(self.workload, examples.origin.preparation.sizes)

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
                    raise StepFaultError(self.not_finite(sum_so_far, share.examples, epoch=epoch, among=feed))
                on_pause(done, sum_so_far)
                self._seed(epoch, done // every)
                self.module.train()
        parallel.share_buffers(self.module, num_rows=num_rows)
        return float(parallel.mean_over_ranks(losses)) / num_batches

    def _seed(self, epoch: int, part: int) -> None:
        """What is random from here on follows from the place alone, so that a fit can go on from it."""
        seed_all(derived_seed(self.seed, epoch, parallel.own_rank(), *([part] if part else [])))
        self._encoder.begin()

    def _step(self, share: Share, *, epoch: int, num_left: int) -> torch.Tensor:
        """One step, the first of `num_left` until all that is random begins anew."""
        self.optimizer.zero_grad()
        pieces = share.pieces(self.workload.training.accumulate)
        if len(pieces) == 1:
            ready = self._encoder.ready(share, num_left=num_left)
            total = self._backward(share, ready, epoch=epoch)
            self._move()
            return total
        total = torch.zeros((), device=self.device)
        for number, piece in enumerate(pieces):
            with parallel.added_up(self._averaging, is_last=number == len(pieces) - 1):
                total += self._backward(piece, self._encoder.alone(piece.examples), epoch=epoch)
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
        name, again = "the network", cast(Work[object], self._answered)
        try:
            with self._precision():
                logits = self._forward(self._trained, ready.encoded, num_rows=share.num_rows)
            outputs = logits.float()  # the loss is taken in full width: a log of halves rounds to nothing
            # It takes a whole batch: no row is to blame.
            name, again = "loss", lambda _: self.loss(outputs, ready.targets)
            loss = self.loss(outputs, ready.targets)
            if share.weight != 1.0:
                loss = loss * share.weight
            found = loss.detach()
            self._refuse_not_finite(found, share, epoch=epoch)
            name, again = "the network", self._answered
            loss.backward()  # type: ignore[no-untyped-call]
        except RAISED as error:
            told = fault(name, self.workload, error, share.examples, again=again)
            if told is None:
                raise
            raise told from error
        return found

    def _refuse_not_finite(self, loss: torch.Tensor, share: Share, *, epoch: int) -> None:
        if self.device == "cpu" and not math.isfinite(loss):  # a device would have to be waited for in every step
            raise StepFaultError(self.not_finite(float(loss), share.examples, epoch=epoch))

    def _precision(self) -> AbstractContextManager[object]:
        """Half width where it is asked for."""
        if not self.workload.training.bfloat16:
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)

    def _told(self, work: Callable[[Examples], Answer], examples: Examples) -> Answer:
        """What the network does; when it fails, the first row that it cannot answer is named."""
        return guarded("the network", self.workload, work, examples, again=self._answered)

    def _answered(self, examples: Examples) -> torch.Tensor:
        # One that is laid out answers only where all workers ask: they would wait for this one's gradients instead. And
        # a GPU that met a code out of range answers nothing any more.
        if (self.is_sharded or self.device != "cpu") and self._alone is None:
            self._alone = self._fresh(examples)
        module = self.module if self._alone is None else self._alone
        module.eval()
        with torch.inference_mode():
            return self._forward(module, self.workload.encode(examples.batch), num_rows=examples.num_rows)

    def not_finite(self, loss: float, examples: Examples, *, epoch: int, among: Feed | None = None) -> str:
        """One sentence on why the loss of these examples is not a finite number; the fit is over.

        `among` has all rows where the examples are only some of them.
        """
        parts = iter([examples]) if among is None else among.parts()
        return f"In epoch {epoch + 1} the loss became {loss}: {self._why(examples, parts)}"

    def spoilt(self, name: str, value: float, examples: Examples, *, epoch: int) -> str:
        """One sentence on why weights are not finite numbers after a loss that was; the fit is over."""
        return f"In epoch {epoch + 1} a weight of {name!r} became {value}: {self._why(examples, iter([examples]))}"

    def _why(self, examples: Examples, parts: Iterator[Examples]) -> str:
        def loss(outputs: torch.Tensor, labels: NDArray[np.float64]) -> torch.Tensor:
            return self.loss(outputs, torch.from_numpy(self.targets(labels).astype(np.float32)))

        module = None if self.is_sharded else self.module
        return not_finite.reason(self.workload, module, examples, parts=parts, loss=loss)

    def _set_learning_rate(self, progress: float) -> None:
        """A short rise, then half a cosine down; it follows from progress alone, so a resumed fit needs no schedule."""
        rise = min(1.0, progress / WARM_UP_SHARE + 0.01)
        rate = self.workload.training.learning_rate * rise * (1 + math.cos(math.pi * progress)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def logits(self, examples: Examples) -> torch.Tensor:
        """The outputs of each row without learning from it."""
        self.module.eval()
        training = self.workload.training
        with torch.inference_mode():
            portions = in_portions(
                lambda start, end: self._portion_logits(examples.take(np.arange(start, end))),
                num_rows=examples.num_rows,
                first_rows=piece_rows(training),
                most_rows=most_rows(training),
                may_halve=not self.is_sharded,
            )
        return torch.cat(portions)

    def _portion_logits(self, examples: Examples) -> tuple[torch.Tensor, Encoded]:
        encoded = self._encoder.told(examples)
        logits = self._told(lambda own: self._forward(self.module, encoded, num_rows=own.num_rows), examples)
        return logits.cpu(), encoded

    def _forward(self, module: nn.Module, encoded: Encoded, *, num_rows: int) -> torch.Tensor:
        return forward(module, encoded, shape=(num_rows, *self.outputs))

    def mean_loss(self, examples: Examples) -> float:
        """The workload's loss over these rows without learning from them."""
        logits, targets = self.logits(examples), self._encoder.targets(examples).cpu()
        return float(guarded("loss", self.workload, lambda _: self.loss(logits, targets), examples))
