"""Logs to begin with: whole lives of questions, or questions that wait, written past the hub in large batches.

A hub that starts on one of them is as if it had done all that itself, in a few seconds instead of many minutes.
"""

import os
import struct
import time

import msgspec

from crossfade.core import agents, messages, questions
from crossfade.core.records import encode, type_name
from crossfade.core.values import SPACE, Channel, Instant, Kind, Lane, StreamName
from crossfade.engine.ports import NewEvent, Tx
from crossfade.logs.sqlite import open_sqlite
from crossfade.outbound.host import base32

AGENTS = 200
BATCH = 2_000
FAR = 10**18
"""Deadlines lie so many nanoseconds, some thirty years, after the question."""
SCHEMA = msgspec.Raw(b'{"type":"object","properties":{"verdict":{"type":"string","enum":["ship","hold"]}}}')
CONTENT = msgspec.Raw(b'{"verdict":"ship"}')
MESSAGE = "Is build 4711 ready to ship to the second ring?"


class Writer:
    """Makes transactions, each at an instant of its own."""

    def __init__(self):
        self.at = time.time_ns() - 10**12

    def tx(self, stream, *events):
        self.at += 1_000
        at, name = Instant(self.at), StreamName(stream)
        new = tuple(NewEvent(name, type_name(event), at, "bench", "", encode(event)) for event in events)
        return Tx(struct.pack(">Q", self.at) + os.urandom(8), (), new)

    def registrations(self):
        for number in range(AGENTS):
            registered = agents.Registered(name=f"agent-{number}", kind=Kind.PROGRAM, label="")
            yield self.tx(f"agent/agent-{number}", registered)

    def asked(self, number):
        """Stream and event of a question, its askers and addressees in turn."""
        question = f"q_{base32(number << 80)}"
        return f"question/{question}", questions.Asked(
            asker=f"agent-{number % AGENTS}", addressee=f"agent-{(number * 7 + 1) % AGENTS}", message=MESSAGE,
            schema=SCHEMA, deadline=Instant(self.at + FAR), lane=Lane.POLLING, epoch=0, exposure="old",
            conversation=question,
        )  # fmt: skip


def lives(records):
    """Registrations, then questions: asked, offered and answered, three records each, and cursors that move."""
    writer = Writer()
    yield from writer.registrations()
    for number in range((records - AGENTS) // 3):
        stream, asked = writer.asked(number)
        answered = questions.Answered(by=asked.addressee, content=CONTENT, channel=Channel.POLL)
        yield writer.tx(stream, asked, questions.Offered(channel=Channel.POLL), answered)
        if number % (AGENTS * 50) == AGENTS * 50 - 1:
            for other in range(AGENTS):
                yield writer.tx(f"mailbox/agent-{other}", messages.Acknowledged(through=AGENTS + number * 3))


def waiting(count):
    """Registrations, then questions that nobody has answered yet."""
    writer = Writer()
    yield from writer.registrations()
    for number in range(count):
        yield writer.tx(*writer.asked(number))


async def fill(folder, transactions):
    """Write them all to the log of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    log, batch = open_sqlite(folder), []
    for tx in transactions:
        batch.append(tx)
        if len(batch) == BATCH:
            await log.append(SPACE, batch)
            batch = []
    await log.append(SPACE, batch)
    await log.close()
