"""Micro-batches: what is waiting when the model is free goes in together. Nobody waits for others to come."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class MicroBatcher(Generic[Item, Result]):
    """Runs one batch at a time; small ones on the event loop, large ones beside it.

    `run` gets at least one item and gives one result an item, in order, or an exception for it; what it raises reaches
    all of its batch. A batch grows up to `max_size` (a single larger item goes alone); up to `max_inline` a thread
    would cost more than it frees; both may be changed at any time. Just before it would run, an item for which
    `refuse` gives an error gets that and is left out. `released` is called after every batch, when those who wait for
    it have had their turn.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        *,
        size_of: Callable[[Item], int],
        max_size: int,
        max_inline: int,
        refuse: Callable[[Item], Exception | None] = lambda _: None,
        released: Callable[[], None] = lambda: None,
    ) -> None:
        self._run = run
        self._refuse = refuse
        self._released = released
        self._size_waiting = 0
        self._size_running = 0
        self._size_of = size_of
        self.max_size = max_size
        self.max_inline = max_inline
        self._waiting: deque[tuple[Item, asyncio.Future[Result], int]] = deque()
        self._is_busy = self._is_closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch")

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """The item's result, once its batch has run."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        item_size = self._size_of(item)
        self._waiting.append((item, future, item_size))
        self._size_waiting += item_size
        if not self._is_busy:
            self._is_busy = True
            # Requests that the loop has already received get their turn first, and join this batch.
            loop.call_soon(self._next, loop)
        return future

    @property
    def size_ahead(self) -> int:
        """The size of what would be run before the next item, the running batch with it."""
        return self._size_waiting + self._size_running

    def is_next(self, size: int) -> bool:
        """Whether an item of this size would be in the very next batch, and that on the event loop: it cannot wait."""
        return not self._size_running and self._size_waiting + size <= min(self.max_inline, self.max_size)

    def close(self) -> None:
        """Ends the thread after the batch that it is running; what still waits is run on the event loop."""
        self._is_closed = True
        self._thread.shutdown(wait=True)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        items, futures, size = self._take()
        self._size_running = size
        if not items:
            self._is_busy = False
        elif size <= self.max_inline or self._is_closed:
            self._settle(futures, *self._outcome(items))
            loop.call_soon(self._released)
            self._go_on(loop)
        else:
            done = loop.run_in_executor(self._thread, self._outcome, items)
            done.add_done_callback(lambda outcome: self._finish(loop, futures, outcome.result()))

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        futures: Sequence["asyncio.Future[Result]"],
        outcome: tuple[Sequence[Result | Exception], Exception | None],
    ) -> None:
        self._settle(futures, *outcome)
        loop.call_soon(self._released)
        self._go_on(loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._size_running = 0
        self._is_busy = bool(self._waiting)
        if self._is_busy:
            loop.call_soon(self._next, loop)

    def _take(self) -> tuple[list[Item], list["asyncio.Future[Result]"], int]:
        items: list[Item] = []
        futures: list[asyncio.Future[Result]] = []
        size = 0
        while self._waiting:
            item, future, item_size = self._waiting[0]
            if items and size + item_size > self.max_size:
                break
            self._waiting.popleft()
            self._size_waiting -= item_size
            if future.done():  # its caller is gone
                continue
            refusal = self._refuse(item)
            if refusal is not None:
                future.set_exception(refusal)
                continue
            items.append(item)
            futures.append(future)
            size += item_size
        return items, futures, size

    def _outcome(self, items: Sequence[Item]) -> tuple[Sequence[Result | Exception], Exception | None]:
        try:
            return self._run(items), None
        # Not swallowed: every caller of the batch gets it, and the next batch is still run.
        except Exception as error:  # noqa: BLE001
            return (), error

    @staticmethod
    def _settle(
        futures: Sequence["asyncio.Future[Result]"], results: Sequence[Result | Exception], error: Exception | None
    ) -> None:
        for index, future in enumerate(futures):
            if future.done():
                continue
            result = results[index] if error is None else error
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
