import asyncio
import threading

import pytest

from serve_apps.engine.batching import MicroBatcher


class Doubling:
    """Doubles numbers, and remembers the batches and the threads that it was called in."""

    def __init__(self):
        self.batches = []
        self.threads = set()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, items):
        assert self.gate.wait(5)
        self.batches.append(list(items))
        self.threads.add(threading.current_thread())
        if 13 in items:
            raise ValueError("unlucky")
        return [2 * item for item in items]


def batcher(run, **changed):
    limits = {"size_of": lambda _: 1, "max_size": 100, "max_inline": 100} | changed
    return MicroBatcher(run, **limits)


async def submit_all(batches, *items):
    return await asyncio.gather(*(batches.submit(item) for item in items), return_exceptions=True)


def test_one_caller_alone_does_not_wait():
    async def main():
        run = Doubling()
        assert await batcher(run).submit(4) == 8
        assert run.batches == [[4]]
        assert run.threads == {threading.current_thread()}

    asyncio.run(main())


def test_what_waits_goes_in_together_and_each_gets_its_own_result():
    async def main():
        run = Doubling()
        assert await submit_all(batcher(run), 1, 2, 3) == [2, 4, 6]
        assert run.batches == [[1, 2, 3]]

    asyncio.run(main())


def test_what_comes_while_the_model_is_busy_is_the_next_batch():
    async def main():
        run = Doubling()
        run.gate.clear()
        batches = batcher(run, max_inline=0)
        first = batches.submit(1)
        await asyncio.sleep(0.01)
        others = [batches.submit(item) for item in (2, 3)]
        await asyncio.sleep(0.01)
        run.gate.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6]
        assert run.batches == [[1], [2, 3]]
        assert threading.current_thread() not in run.threads
        batches.close()

    asyncio.run(main())


def test_a_batch_stays_below_its_largest_size():
    async def main():
        run = Doubling()
        assert await submit_all(batcher(run, size_of=lambda item: item, max_size=5), 2, 2, 2, 9, 1) == [4, 4, 4, 18, 2]
        assert run.batches == [[2, 2], [2], [9], [1]]

    asyncio.run(main())


def test_an_error_reaches_all_of_its_batch_and_nobody_else():
    async def main():
        run = Doubling()
        batches = batcher(run)
        results = await submit_all(batches, 1, 13)
        assert [str(result) for result in results] == ["unlucky", "unlucky"]
        assert await batches.submit(2) == 4

    asyncio.run(main())


def test_an_error_beside_the_event_loop_reaches_its_caller():
    async def main():
        batches = batcher(Doubling(), max_inline=0)
        with pytest.raises(ValueError, match="unlucky"):
            await batches.submit(13)
        assert await batches.submit(2) == 4
        batches.close()

    asyncio.run(main())


def test_a_caller_that_left_costs_nothing():
    async def main():
        run = Doubling()
        batches = batcher(run)
        left, stayed = batches.submit(1), batches.submit(2)
        left.cancel()
        assert await stayed == 4
        assert run.batches == [[2]]

    asyncio.run(main())


def test_what_is_refused_at_its_turn_is_not_run_and_the_others_are():
    async def main():
        run = Doubling()
        batches = batcher(run, refuse=lambda item: TimeoutError("late") if item == 2 else None)
        first, late, last = await submit_all(batches, 1, 2, 3)
        assert (first, str(late), last) == (2, "late", 6)
        assert run.batches == [[1, 3]]

    asyncio.run(main())


def test_the_size_ahead_is_what_waits_and_what_runs():
    async def main():
        run = Doubling()
        run.gate.clear()
        batches = batcher(run, size_of=lambda item: item, max_inline=0)
        assert batches.size_ahead == 0
        first = batches.submit(5)
        await asyncio.sleep(0.01)
        second = batches.submit(7)
        assert batches.size_ahead == 12
        run.gate.set()
        await asyncio.gather(first, second)
        await asyncio.sleep(0.01)
        assert batches.size_ahead == 0
        batches.close()

    asyncio.run(main())


def test_what_waits_when_the_thread_ends_is_answered_all_the_same():
    async def main():
        run = Doubling()
        run.gate.clear()
        batches = batcher(run, max_inline=0)
        first = batches.submit(1)
        await asyncio.sleep(0.01)
        second = batches.submit(2)
        run.gate.set()
        batches.close()
        async with asyncio.timeout(5):
            assert await asyncio.gather(first, second) == [2, 4]

    asyncio.run(main())


def test_a_limit_changed_while_items_wait_counts_for_the_next_batch():
    async def main():
        run = Doubling()
        batches = batcher(run)
        waiting = submit_all(batches, 1, 2, 3, 4, 5)
        batches.max_size = 2
        assert await waiting == [2, 4, 6, 8, 10]
        assert run.batches == [[1, 2], [3, 4], [5]]

    asyncio.run(main())
