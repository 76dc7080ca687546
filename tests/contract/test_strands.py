"""A strand continues a request's work as a task would, and can be cancelled as one."""

import asyncio
import logging

import pytest

from crossfade.inbound.strand import Strands
from tests.kit.hub import run
from tests.kit.wires import settle

HOUR_SECONDS = 3_600
"""Longer than a test may take."""


def never() -> None:
    """Nothing is to be aborted."""
    raise AssertionError("aborted")


@run
async def test_work_that_never_waits_is_done_at_once() -> None:
    said: list[str] = []

    async def work() -> None:
        said.append("done")

    strands = Strands()
    assert strands.begin(work(), never) is None
    assert (said, len(strands)) == (["done"], 0)


@run
async def test_work_goes_on_after_each_wait_and_after_a_turn_of_the_loop() -> None:
    said: list[object] = []
    first: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        said.append(await first)
        await asyncio.sleep(0)
        said.append("turned")
        try:
            await asyncio.shield(asyncio.ensure_future(failing()))
        except ValueError as error:
            said.append(str(error))

    async def failing() -> None:
        raise ValueError("told")

    strands = Strands()
    strands.begin(work(), never)
    await settle(3)
    assert (said, len(strands)) == ([], 1)
    first.set_result("came")
    await settle()
    assert (said, len(strands)) == (["came", "turned", "told"], 0)


@run
async def test_cancelling_cancels_what_is_waited_for_and_may_be_survived() -> None:
    said: list[str] = []
    waited: list[asyncio.Future[None]] = [asyncio.get_running_loop().create_future() for _ in range(2)]

    async def work() -> None:
        try:
            await waited[0]
        except asyncio.CancelledError:
            said.append("cancelled")
        await waited[1]
        said.append("went on")

    strands = Strands()
    strand = strands.begin(work(), never)
    assert strand is not None
    strand.cancel()
    await settle()
    assert waited[0].cancelled()
    waited[1].set_result(None)
    await settle()
    assert (said, len(strands)) == (["cancelled", "went on"], 0)


@run
async def test_a_cancellation_between_an_end_of_a_wait_and_its_news_is_not_lost() -> None:
    said: list[str] = []
    first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        try:
            await first
            said.append("came")
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            said.append("cancelled")
            raise

    strands = Strands()
    strand = strands.begin(work(), never)
    assert strand is not None
    first.set_result(None)
    strand.cancel()
    await settle()
    assert (said, len(strands)) == (["cancelled"], 0)


@run
async def test_work_that_cancels_itself_is_cancelled_at_its_next_wait() -> None:
    said: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0)
        begun[0].cancel()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            said.append("cancelled")
        await asyncio.sleep(0)
        said.append("went on")

    strands = Strands()
    strand = strands.begin(work(), never)
    assert strand is not None
    begun = [strand]
    await settle()
    assert (said, len(strands)) == (["cancelled", "went on"], 0)


@run
async def test_a_cancelled_turn_of_the_loop_is_cancelled_work() -> None:
    said: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            said.append("cancelled")

    strands = Strands()
    strand = strands.begin(work(), never)
    assert strand is not None
    strand.cancel()
    await settle()
    assert (said, len(strands)) == (["cancelled"], 0)


@pytest.mark.parametrize("waits", [False, True])
def test_a_fault_is_written_down_and_ends_the_connection(waits: bool, caplog: pytest.LogCaptureFixture) -> None:
    aborted: list[bool] = []

    async def work() -> None:
        if waits:
            await asyncio.sleep(0)
        raise RuntimeError("planted")

    async def scenario() -> None:
        strands = Strands()
        strands.begin(work(), lambda: aborted.append(True))
        await settle()
        assert len(strands) == 0

    with caplog.at_level(logging.ERROR, logger="crossfade.http"):
        asyncio.run(scenario())
    assert aborted == [True]
    assert "a request could not be served" in caplog.text


@run
async def test_the_end_waits_for_what_is_under_way_and_cancels_what_is_late() -> None:
    said: list[str] = []
    quick: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work(name: str, waited: "asyncio.Future[None]") -> None:
        try:
            await waited
            said.append(f"{name} done")
        except asyncio.CancelledError:
            said.append(f"{name} cancelled")
            raise

    strands = Strands()
    await strands.finish(HOUR_SECONDS)
    strands.begin(work("quick", quick), never)
    ending = asyncio.ensure_future(strands.finish(HOUR_SECONDS))
    await settle(3)
    assert not ending.done()
    quick.set_result(None)
    await ending
    strands.begin(work("late", asyncio.get_running_loop().create_future()), never)
    await strands.finish(0)
    await settle()
    assert (said, len(strands)) == (["quick done", "late cancelled"], 0)
