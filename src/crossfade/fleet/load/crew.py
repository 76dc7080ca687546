"""What all simulated agents of one load process share, and the counts that they keep together."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from crossfade.fleet.dice import Dice
from crossfade.fleet.host import monotonic_ns
from crossfade.fleet.load.account import Tally
from crossfade.fleet.load.journals import Journals
from crossfade.fleet.load.line import Place, Traffic
from crossfade.fleet.load.pool import Pool
from crossfade.fleet.load.profile import Profile

FAULTS_MAX: Final = 20
"""Different faults that are kept; all are counted."""
MS: Final = 1e6
"""Nanoseconds in a millisecond."""

OnEnd = Callable[[str, str, bytes, str], None]
"""Told that the end of a question came to its asker's mailbox: id, status, content as JSON, channel."""


def _nobody(question_id: str, status: str, content: bytes, channel: str) -> None:
    """Nobody asks yet."""


class Crew:
    """The surroundings of the agents."""

    def __init__(self, place: Place, profile: Profile, run: str, journals: Journals, lines: int) -> None:
        self.place = place
        self.profile = profile
        self.model = profile.model
        self.run = run
        self.journals = journals
        self.dice = Dice(profile.seed)
        self.loop = asyncio.get_running_loop()
        self.carried = Traffic()
        """Traffic of the lines that agents hold."""
        self.pool = Pool(place, Traffic(), lines, self.dice)
        self.attached = 0
        """Agents whose call or stream the hub holds now."""
        self.answering = 0
        """Questions received and not yet answered."""
        self.on_end: OnEnd = _nobody
        self.counts: Counter[str] = Counter()
        """Requests by what they are: wait, answer, ask, look, stream, acknowledge; ``empty`` waits; ``lost`` lines."""
        self.faults: Counter[str] = Counter()
        self.stopping = False
        self.lateness = Tally()
        """How much later than due asks were sent, in ms: what the load itself adds to every latency."""
        self.storm_ns = 0
        """When every connection was dropped; 0: not yet."""
        self.reattached = Tally()
        """From the storm until each agent was held again, in ms."""

    @property
    def requests(self) -> int:
        """Requests sent, repetitions included."""
        return self.carried.requests + self.pool.traffic.requests

    def on_attached(self) -> None:
        """An agent is held by the hub."""
        self.attached += 1
        if self.storm_ns:
            self.reattached.add((monotonic_ns() - self.storm_ns) / MS)

    def fault(self, what: str) -> None:
        """Something that a well-behaved agent does was refused; it is counted and shown."""
        if len(self.faults) < FAULTS_MAX or what in self.faults:
            self.faults[what] += 1
        else:
            self.faults["other"] += 1
