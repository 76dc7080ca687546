"""One load process: its agents, its part of the schedule, its journals. ``python -m crossfade.fleet.load.worker``.

Not for people: orders come on stdin, reports go to stdout (fleet/load/orders.py). It ignores SIGINT, which a
terminal sends to everybody: the parent decides when it ends, and its death is the end of stdin.
"""

import asyncio
import gc
import itertools
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

from crossfade.fleet.dice import Dice
from crossfade.fleet.host import cpu_seconds, monotonic_ns
from crossfade.fleet.load.account import Tally
from crossfade.fleet.load.asks import Asking
from crossfade.fleet.load.crew import Crew
from crossfade.fleet.load.frames import Caller
from crossfade.fleet.load.journals import Journals
from crossfade.fleet.load.line import Place
from crossfade.fleet.load.member import Listener, Member, Poller
from crossfade.fleet.load.orders import ORDERS, UNWRITABLE, Finish, Go, Halt, Histogrammed, Last, Order, State
from crossfade.fleet.load.profile import Carrier, Profile
from crossfade.fleet.load.schedule import Shape, arrivals, asks_of

STATE_SECONDS: Final = 0.2
STATES_PER_FLUSH: Final = 5
"""Journals are given to the system every second."""
LOOK_SECONDS: Final = 0.02
ATTACHING_MAX: Final = 128
"""Agents that connect at once; the storm is another matter."""
ORDER_BYTES_MAX: Final = 64 * 1_048_576
SETTLE_SECONDS: Final = 2.0
"""At the end, for answers whose question has its end at the asker already."""


def names_of(profile: Profile, run: str) -> list[str]:
    """The names of all agents, in their order."""
    return [f"load-{run}-{index:05}" for index in range(profile.agents)]


def cluster_name(run: str, cluster: int) -> str:
    """How a cluster is called; it is the label of its agents."""
    return f"load-{run}-{cluster}"


def own(profile: Profile, process: int, processes: int) -> range:
    """The agents of one process."""
    return range(process, profile.agents, processes)


class LoadProcess:
    """The agents of this process."""

    def __init__(self, order: Order) -> None:
        profile = order.profile
        self.order = order
        mixed = msgspec.structs.replace(profile, seed=profile.seed * 1_000_003 + order.process)
        place = Place(order.host, order.port, order.sources)
        self.crew = Crew(place, mixed, order.run, Journals(Path(order.folder), order.process), order.lines)
        self.shape = Shape(profile)
        indices = own(profile, order.process, order.processes)
        names = names_of(profile, order.run)
        capable = profile.carrier is not Carrier.STREAM
        callers = {
            index: Caller(names[index], token, order.authority, capable=capable)
            for index, token in zip(indices, order.tokens, strict=True)
        }
        on_elicitation = frozenset(order.on_elicitation)
        self.members = [
            self._member(caller, on_elicitation=self.shape.cluster(index) in on_elicitation)
            for index, caller in callers.items()
        ]
        self.asking = Asking(self.crew, callers, names, self.shape)
        askers = [sum(map(self.shape.asks, own(profile, number, order.processes))) for number in range(order.processes)]
        asks = asks_of(profile, sum(askers[: order.process]), askers[order.process], sum(askers))
        self.due = arrivals(profile.phases, asks, profile.burst, Dice(mixed.seed))

    def _member(self, caller: Caller, *, on_elicitation: bool) -> Member:
        model = self.crew.model
        carrier = self.order.profile.carrier
        if on_elicitation and carrier is Carrier.STREAM:
            return Listener(self.crew, caller)
        if on_elicitation and carrier is Carrier.ATTEND:
            seconds, tool = model.attend_wait_seconds, b"attend"
        else:
            seconds, tool = model.poll_timeout_seconds, b"wait_for_messages"
        return Poller(self.crew, caller, tool, seconds, 1 + self.crew.dice.word() % seconds)

    async def attach(self) -> None:
        """Connect every agent, a bounded number at a time."""
        gate = asyncio.Semaphore(ATTACHING_MAX)

        async def one(member: Member) -> None:
            async with gate:
                await member.start()

        self.crew.pool.open_some(max(4, self.order.lines // 8))
        await asyncio.gather(*(one(member) for member in self.members))

    def begin(self, start_ns: int) -> None:
        """Ask from ``start_ns`` on; with a storm at its time."""
        gc.collect()
        gc.freeze()
        loop = self.crew.loop
        wait_seconds = max(0.0, (start_ns - monotonic_ns()) / 1e9)
        loop.call_later(wait_seconds, self.asking.run, self.due, start_ns)
        if self.order.profile.storm_at_seconds:
            loop.call_later(wait_seconds + self.order.profile.storm_at_seconds, self._storm)

    def _storm(self) -> None:
        """Every agent loses its connection at the same moment."""
        self.crew.storm_ns = monotonic_ns()
        for member in self.members:
            member.drop()

    def state(self) -> State:
        """How it stands."""
        crew, asking = self.crew, self.asking
        carried, pooled = crew.carried, crew.pool.traffic
        return State(
            attached=crew.attached,
            due=asking.due,
            acknowledged=asking.acknowledged,
            answered=asking.answered,
            received=crew.journals.received_count,
            open=asking.open,
            unacknowledged=asking.unacknowledged,
            answering=crew.answering,
            waiting=crew.pool.waiting,
            finished=asking.finished,
            cpu_seconds=cpu_seconds(),
            bytes_in=carried.bytes_in + pooled.bytes_in,
            bytes_out=carried.bytes_out + pooled.bytes_out,
            requests=crew.requests,
            empty=crew.counts["empty"],
            failed=max(carried.failed, pooled.failed),
            at_ns=monotonic_ns(),
        )

    async def finish(self) -> Last:
        """Let go of everything; the last word."""
        self.asking.stop()
        for _ in range(round(SETTLE_SECONDS / LOOK_SECONDS)):
            if not self.crew.answering or not self.crew.attached:
                break
            await asyncio.sleep(LOOK_SECONDS)
        state = self.state()
        self.crew.counts["repeated"] += self.crew.pool.repeats
        self.crew.stopping = True
        self.crew.pool.close()
        for member in self.members:
            member.stop()
        self.crew.journals.close()
        return Last(
            counts=dict(self.crew.counts),
            faults=dict(self.crew.faults),
            lateness=_sent(self.crew.lateness),
            reattached=_sent(self.crew.reattached),
            connections=self.crew.carried.connections + self.crew.pool.traffic.connections,
            state=state,
        )


def _what(context: dict[str, Any]) -> str:
    """What went wrong in a callback of the load itself; it is shown as a fault of the run."""
    return repr(context.get("exception") or context.get("message"))[:300]


def _sent(tally: Tally) -> Histogrammed:
    return Histogrammed(tally.histogram.compact(), tally.largest)


def _say(report: State | Last) -> None:
    os.write(1, msgspec.json.encode(report) + b"\n")


async def _reports(process: LoadProcess) -> None:
    for turn in itertools.count():
        _say(process.state())
        if turn % STATES_PER_FLUSH == 0:
            process.crew.journals.flush()
        await asyncio.sleep(STATE_SECONDS)


def _silent(reports: "asyncio.Task[None]") -> None:
    """A load process that cannot report or write its journals ends: its parent would wait for ever."""
    if not reports.cancelled():
        os._exit(UNWRITABLE if isinstance(reports.exception(), OSError) else 1)


async def _obey(orders: asyncio.StreamReader) -> None:
    first = ORDERS.decode(await orders.readline())
    assert isinstance(first, Order)
    process = LoadProcess(first)
    process.crew.loop.set_exception_handler(lambda _, context: process.crew.fault(f"load: {_what(context)}"))
    tasks = [asyncio.create_task(_reports(process)), asyncio.create_task(process.attach())]
    tasks[0].add_done_callback(_silent)
    while line := await orders.readline():
        match ORDERS.decode(line):
            case Go(start_ns):
                process.begin(start_ns)
            case Halt():
                process.asking.stop()
            case Finish():
                last = await process.finish()
                tasks[0].cancel()
                _say(last)
                return


async def main() -> None:
    """Obey until told to finish, or until nobody is there to tell."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    orders = asyncio.StreamReader(limit=ORDER_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    await _obey(orders)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        uvloop.run(main())
    except OSError:
        os._exit(UNWRITABLE)
    os._exit(0)
