"""A question that is shared: put once for many, and never answered with what was true before somebody asked."""

import asyncio

import pytest

from podbook_api.services.shared_calls import SharedCalls


class Oracle:
    """Counts how often it is asked, and answers with the number of the question when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.silent = False
        self.error: Exception | None = None
        self._let = asyncio.Event()

    async def ask(self, _key: str) -> int | None:
        self.asked += 1
        mine = self.asked
        await self._let.wait()
        if self.error is not None:
            raise self.error
        return None if self.silent else mine

    def let(self) -> None:
        """Answer all questions from now on."""
        self._let.set()


async def begun(oracle: Oracle, count: int) -> None:
    """Wait until so many questions have been put."""
    async with asyncio.timeout(30):
        while oracle.asked < count:  # noqa: ASYNC110 - the oracle sets no event for it
            await asyncio.sleep(0)


async def test_those_who_come_together_share_one_question() -> None:
    oracle = Oracle()
    calls = SharedCalls(oracle.ask)
    oracle.let()
    assert await asyncio.gather(*(calls.answer("a") for _ in range(5))) == [1] * 5
    assert await calls.answer("a") == 2


async def test_who_comes_later_gets_a_later_answer() -> None:
    oracle = Oracle()
    calls = SharedCalls(oracle.ask)
    first = asyncio.create_task(calls.answer("a"))
    await begun(oracle, 1)
    later = [asyncio.create_task(calls.answer("a")) for _ in range(3)]
    await asyncio.sleep(0)
    assert oracle.asked == 1
    oracle.let()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 3


async def test_keys_do_not_wait_for_each_other() -> None:
    oracle = Oracle()
    calls = SharedCalls(oracle.ask)
    waiting = [asyncio.create_task(calls.answer(key)) for key in "abc"]
    await begun(oracle, 3)
    oracle.let()
    assert sorted(await asyncio.gather(*waiting), key=str) == [1, 2, 3]


async def test_an_error_is_told_to_all_and_not_kept() -> None:
    oracle = Oracle()
    calls = SharedCalls(oracle.ask, lasts=60)
    oracle.let()
    oracle.error = OSError("away")
    answers = await asyncio.gather(*(calls.answer("a") for _ in range(3)), return_exceptions=True)
    assert [str(item) for item in answers] == ["away"] * 3
    oracle.error = None
    assert await calls.answer("a") == 2


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    oracle = Oracle()
    calls = SharedCalls(oracle.ask)
    impatient, patient = asyncio.create_task(calls.answer("a")), asyncio.create_task(calls.answer("a"))
    await begun(oracle, 1)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    oracle.let()
    assert await patient == 1


async def test_an_answer_lasts_as_long_as_it_may() -> None:
    oracle = Oracle()
    oracle.let()
    lasting, fleeting = SharedCalls(oracle.ask, lasts=60), SharedCalls(oracle.ask, lasts=1e-9)
    assert [await lasting.answer("a") for _ in range(3)] == [1, 1, 1]
    assert await lasting.answer("b") == 2
    assert [await fleeting.answer("a") for _ in range(3)] == [3, 4, 5]


async def test_that_there_is_nothing_is_asked_again() -> None:
    oracle = Oracle()
    oracle.let()
    oracle.silent = True
    calls = SharedCalls(oracle.ask, lasts=60)
    assert [await calls.answer("a") for _ in range(3)] == [None] * 3
    assert oracle.asked == 3
