"""The last look: after everything has come to rest the hub dies once more, and what it then knows is read.

Agents see an end in the moment it happens, from a life that may have it only in memory. What was acknowledged must
be in the next life too: every question that an agent asked is read from it, and the reads join the history.
"""

import asyncio
import os
import time
from collections.abc import Iterable

from crossfade.client.api import Api
from crossfade.client.transport import Transport
from crossfade.client.views import QuestionView
from crossfade.core.histories import Line, Read
from crossfade.core.values import Instant
from crossfade.fleet.agents import canonical
from crossfade.fleet.journal import Entry, Step
from crossfade.fleet.supervisor import HubProcess

AT_ONCE = 20
READER = "reader"


async def last_look(hub: HubProcess, entries: Iterable[Entry]) -> list[Line]:
    """A read of every question that these journals say was asked, in a life that knows only the log."""
    await _next_life(hub)
    questions = list(dict.fromkeys(entry.question for entry in entries if entry.step is Step.ASKED))
    turn = asyncio.Semaphore(AT_ONCE)
    async with Api(Transport(hub.url, token=hub.operator_token)) as api:

        async def look(question: str) -> Line:
            async with turn:
                began = time.monotonic_ns()
                value = _value(await api.question(question))
            return Read(
                client=READER,
                called_at=Instant(began),
                returned_at=Instant(time.monotonic_ns()),
                question=question,
                value=value,
            )

        return list(await asyncio.gather(*map(look, questions)))


async def _next_life(hub: HubProcess) -> None:
    """A kill, and a life with no doom on it."""
    os.environ.pop("DOOM", None)
    await hub.up.wait()
    hub.up.clear()
    hub.kill()
    await hub.up.wait()


def _value(question: QuestionView) -> str:
    """As the journals say it."""
    return f"answered {canonical(question.content)}" if question.status == "answered" else question.status
