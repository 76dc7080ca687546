"""What is addressed to an agent, each thing once, over whichever carrier its lane says.

On the elicitation lane it reads the event stream, on the polling lane it waits in ``GET /v1/messages``. Both are
windows on one log, so a switch continues from one cursor.

Rules
-----
1. The cursor moves on only after what it covers was taken, so an interruption repeats rather than loses.
2. What is repeated is recognised by its id and dropped.
3. Each time a carrier is opened, open questions are fetched as well: one that was received and not answered by an
   earlier process of this agent is put before it again.
4. A broken connection is opened again after a jittered pause, for ever. A refused credential is not: it raises.

Source of resumption: WHATWG HTML, "server-sent events" (Last-Event-ID).
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec

from crossfade.client.api import Api
from crossfade.client.errors import CrossfadeError, RefusedError, UnreachableError
from crossfade.client.host import pause_seconds
from crossfade.client.transport import Event, decoded
from crossfade.client.views import Item, QuestionView

logger = logging.getLogger("crossfade.client")

WAIT_SECONDS: Final = 25.0
REMEMBERED_MAX: Final = 20_000
"""Ids kept to recognise what comes twice."""
ACKNOWLEDGE_EVERY: Final = 50
"""Stream items after which the hub is told how far we got, so that the mailbox does not fill."""
POLLING: Final = "polling"
ELICITATION: Final = "elicitation"
SPACE_SHARD: Final = 1
PAGE_ITEMS: Final = 100

Arrival = QuestionView | Item


class _Lane(msgspec.Struct):
    """What the stream says at its beginning, and when the lane changes."""

    lane: str
    cursor: int | None = None
    agent: str = ""


class Place:
    """How far an agent has read; kept in a file if it is given one."""

    def __init__(self, path: Path | None = None) -> None:
        """Continue from ``path`` if it holds a place."""
        self.path = path
        self.cursor: int | None = None
        if path is not None and path.exists():
            self.cursor = msgspec.json.decode(path.read_bytes(), type=int)

    def move(self, cursor: int) -> bool:
        """Go forward to ``cursor``, never back; False if it was there already."""
        if self.cursor is not None and cursor <= self.cursor:
            return False
        self.cursor = cursor
        if self.path is not None:
            beside = self.path.with_name(self.path.name + ".part")
            beside.write_bytes(msgspec.json.encode(cursor))
            beside.replace(self.path)
        return True


class Inlet:
    """The arrivals of one agent."""

    def __init__(self, api: Api, name: str, place: Place | None = None) -> None:
        """Receive through ``api``, whose credential must be that of the agent ``name``."""
        self.api, self.name = api, name
        self.place = place or Place()
        self.lane = ""
        """Lane as last heard; empty before the first contact."""
        self._known: OrderedDict[str, None] = OrderedDict()
        self._failures = 0

    async def arrivals(self) -> AsyncIterator[Arrival]:
        """Questions to answer and messages to read, each once, for ever. Raises on a refused credential."""
        while True:
            try:
                async for arrival in self._carrier():
                    self._failures = 0
                    yield arrival
            except UnreachableError as error:
                await self._pause(error)
            except RefusedError as error:
                await self._forget_place(error)

    async def acknowledge(self) -> None:
        """Tell the hub how far we got, so that it does not keep what was read. What it sends along is dropped."""
        if self.place.cursor is not None:
            await self.api.inbox(after=self.place.cursor, limit=1)

    async def _carrier(self) -> AsyncIterator[Arrival]:
        """Arrivals until the lane changes. The stream's greeting says which lane it is, so it is opened first."""
        if self.lane:
            async for question in self._left_open():
                yield question
        source = self._polled() if self.lane == POLLING else self._streamed()
        async for arrival in source:
            yield arrival

    async def _left_open(self) -> AsyncIterator[QuestionView]:
        """Open questions that have not come up in this process; a page at a time while there are more."""
        fresh, page = True, await self.api.open_questions(PAGE_ITEMS)
        while fresh:
            fresh = False
            for question in page:
                if self._is_fresh(question.question_id):
                    fresh = len(page) == PAGE_ITEMS
                    yield question
            page = await self.api.open_questions(PAGE_ITEMS) if fresh else []

    async def _pause(self, error: CrossfadeError) -> None:
        pause = pause_seconds(self._failures)
        logger.warning("%s: %s; trying again in %.1f s", self.name, error.message, pause)
        self._failures += 1
        await asyncio.sleep(pause)

    async def _forget_place(self, error: RefusedError) -> None:
        """Go on from the hub's own cursor when ours is not of this log; raise any other refusal."""
        if not error.code.startswith("cursor.") or self.place.cursor is None:
            raise error
        self.place.cursor, self.lane = None, ""
        await self._pause(error)

    def _is_fresh(self, identifier: str) -> bool:
        if identifier in self._known:
            return False
        self._known[identifier] = None
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return True

    # --- polling ---

    async def _polled(self) -> AsyncIterator[Arrival]:
        while self.lane == POLLING:
            try:
                page = await self.api.poll(after=self.place.cursor, wait_seconds=WAIT_SECONDS)
            except RefusedError as error:
                if error.code != "polling.removed":
                    raise
                self.lane = ELICITATION
                return
            self._failures = 0
            for arrival in map(_arrival, page.messages):
                if arrival is not None and self._is_fresh(_identifier(arrival)):
                    yield arrival
            self.place.move(page.cursor)
            self.lane = page.lane

    # --- stream ---

    async def _streamed(self) -> AsyncIterator[Arrival]:
        cursor = self.place.cursor
        taken = 0
        async with self.api.stream("" if cursor is None else f"{SPACE_SHARD}-{cursor}") as events:
            async for event in events:
                if event.name in ("hello", "lane") and self._greeted(decoded(event.data, _Lane)):
                    return
                arrival = _read(event)
                if arrival is not None and self._is_fresh(_identifier(arrival)):
                    yield arrival
                taken += self._moved(event)
                if taken >= ACKNOWLEDGE_EVERY:
                    taken = 0
                    await self.acknowledge()
        raise UnreachableError("client.stream_ended", "the hub ended the stream")

    def _greeted(self, said: _Lane) -> bool:
        """Take note of identity, cursor and lane; True if this carrier should be left."""
        self._check_name(said.agent)
        self._failures = 0
        if self.place.cursor is None and said.cursor is not None:
            self.place.move(said.cursor)
        first, self.lane = not self.lane, said.lane
        return first or self.lane == POLLING

    def _check_name(self, agent: str) -> None:
        if agent and agent != self.name:
            message = f"the token is that of {agent!r}, not of {self.name!r}"
            raise CrossfadeError("identity.mismatch", message, f"use Agent({agent!r}) or another token")

    def _moved(self, event: Event) -> bool:
        shard, _, sequence = event.id.partition("-")
        return shard == str(SPACE_SHARD) and sequence.isdigit() and self.place.move(int(sequence))


def _read(event: Event) -> Arrival | None:
    if event.name == "question":
        return decoded(event.data, QuestionView)
    return _arrival(decoded(event.data, Item)) if event.name == "message" else None


def _arrival(item: Item) -> Arrival | None:
    """A question or a message; None for answers (whoever asked waits for them) and notices."""
    if item.kind == "question":
        return item.question
    return item if item.kind == "message" else None


def _identifier(arrival: Arrival) -> str:
    return arrival.question_id if isinstance(arrival, QuestionView) else arrival.id
