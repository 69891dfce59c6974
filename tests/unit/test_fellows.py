"""How many replicas answer is asked again and again, whatever goes wrong once."""

import asyncio

from serve_apps.fellows import follow


def test_a_question_that_fails_changes_nothing_and_is_asked_again():
    told, answers = [], iter([3, None, 5])

    def ask():
        answer = next(answers)
        if answer is None:
            raise RuntimeError("the controller is away")
        return answer

    async def scenario():
        following = asyncio.create_task(follow(ask, told.append, every_s=0.0))
        async with asyncio.timeout(10):
            while len(told) < 2:
                await asyncio.sleep(0.001)
        following.cancel()

    asyncio.run(scenario())
    assert told == [3, 5]
