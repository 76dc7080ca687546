"""What an agent wrote down itself: the only evidence that the reconciliation accepts.

Not the hub's log and not its counters: a hub that loses something would not count it either. Every
agent of the fleet keeps one journal, in memory and as JSON lines (docs/explanation/journals.md).

Rules
-----
1. An entry is written when the fact is certain at the agent: ``asked`` when the hub acknowledged the
   question, ``answered`` when it acknowledged the answer, ``received`` and ``ended`` on arrival.
2. The order of a journal is the order in which the agent learned things.
3. Times are CLOCK_MONOTONIC of the machine, so journals of one machine can be compared.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TextIO

import msgspec

MonotonicClock = Callable[[], int]
"""CLOCK_MONOTONIC in nanoseconds."""


class Step(StrEnum):
    """What happened."""

    ASKED = "asked"
    """The hub acknowledged my question."""
    RECEIVED = "received"
    """Somebody's question reached me."""
    ANSWERED = "answered"
    """The hub took notice of my answer; ``status`` says whether it stands."""
    ENDED = "ended"
    """The end of my own question reached me."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a journal."""

    agent: str
    """Who writes."""
    step: Step
    question: str
    at_ns: int
    """When it was certain."""
    peer: str = ""
    """The other agent: addressee of what I asked, asker of what I received."""
    since_ns: int = 0
    """Of ``asked``: when I wanted to ask, before any waiting for a connection. Of ``received``: since when I had been
    waiting in the call that brought it; 0 if nobody noted it."""
    channel: str = ""
    """Of ``received`` and ``ended``: ``poll`` or ``attend`` as text, ``native`` as an elicitation, ``stream`` as an
    event, ``call`` in the very call that asked."""
    lane: str = ""
    """Of ``received``: the lane it came on."""
    status: str = ""
    """Of ``ended``: how; of ``answered``: ``accepted``, ``sent`` (no word from the hub) or the refusal's code."""
    content: str = ""
    """Of ``answered`` and ``ended``: the answer as canonical JSON."""
    own_ns: int = 0
    """Of ``answered``: how long I meant to think about it, which is nobody's fault but mine."""


class Journal:
    """The journal of one agent."""

    def __init__(self, agent: str, clock: MonotonicClock, file: Path | None = None) -> None:
        self.agent = agent
        self.entries: list[Entry] = []
        self._clock = clock
        self._file: TextIO | None = None if file is None else file.open("a", encoding="utf-8")

    def asked(self, question: str, peer: str, since_ns: int) -> None:
        """The hub acknowledged my question to ``peer``."""
        now = self._clock()
        self._write(
            Entry(agent=self.agent, step=Step.ASKED, question=question, at_ns=now, peer=peer, since_ns=since_ns)
        )

    def received(self, question: str, peer: str, channel: str, lane: str) -> None:
        """A question from ``peer`` is in front of me."""
        entry = Entry(
            agent=self.agent,
            step=Step.RECEIVED,
            question=question,
            at_ns=self._clock(),
            peer=peer,
            channel=channel,
            lane=lane,
        )
        self._write(entry)

    def answered(self, question: str, status: str, content: str) -> None:
        """The hub took notice of my answer."""
        now = self._clock()
        self._write(
            Entry(agent=self.agent, step=Step.ANSWERED, question=question, at_ns=now, status=status, content=content)
        )

    def ended(self, question: str, status: str, content: str, channel: str) -> None:
        """I know how my question ended."""
        entry = Entry(
            agent=self.agent,
            step=Step.ENDED,
            question=question,
            at_ns=self._clock(),
            channel=channel,
            status=status,
            content=content,
        )
        self._write(entry)

    def close(self) -> None:
        """Write out what is buffered; the entries in memory stay."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, entry: Entry) -> None:
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry).decode() + "\n")


def read_journal(file: Path, *, cut: bool = False) -> Iterator[Entry]:
    """The entries of a journal file, in order. Raises msgspec.ValidationError on a foreign line.

    ``cut``: who wrote it may have been ended in the middle of a line; the last one is left out if it has no end.
    """
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if cut and not line.endswith("\n"):
                return
            yield msgspec.json.decode(line, type=Entry)
