"""A few agents that talk for ever, so that a development hub has something to show.

Not the demonstration (fleet/demo.py): nothing is counted and nothing moves. They come as guests, in a
thread of their own, so that the hub's loop serves nobody but its clients.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from crossfade.fleet.agents import Agent, AgentError, Habit, Item, Lines, Pending, Plan
from crossfade.fleet.host import monotonic_ns
from crossfade.fleet.journal import Entry, Journal, Step
from crossfade.fleet.wire import CallError, Endpoint, Wire

Note = Callable[[str], None]
THINK_SECONDS: Final = 0.8
NAMES: Final = ("planner", "reviewer", "deploy-bot")
TOPICS: Final = (
    ("Ship build {n}?", "Merge change {n} today?", "Is ticket {n} still open?"),
    ("Which tests cover change {n}?", "Is finding {n} blocking?"),
    ("Deploy build {n} now?", "Roll back release {n}?"),
)


class _Memory(Journal):
    """A journal that keeps only when each open question arrived, so that it can run for ever."""

    def __init__(self, agent: str, arrivals: dict[str, int]) -> None:
        super().__init__(agent, monotonic_ns)
        self._arrivals = arrivals

    def _write(self, entry: Entry) -> None:
        if entry.step is Step.RECEIVED:
            self._arrivals[entry.question] = entry.at_ns


class Flow:
    """The small fleet at ``url``; every question that ends is told to ``note``."""

    def __init__(self, url: str, note: Note) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname or "127.0.0.1", place.port or 80
        self._note = note
        self._arrivals: dict[str, int] = {}
        self._agents = [self._agent(number) for number in range(len(NAMES))]

    async def run(self) -> None:
        """Talk until cancelled. Raises CallError or AgentError when the hub does not want it."""
        async with asyncio.TaskGroup() as group:
            for agent in self._agents:
                group.create_task(agent.run())

    def _agent(self, number: int) -> Agent:
        plan = Plan(
            name=NAMES[number],
            cluster="",
            habit=Habit.ADAPTIVE,
            peers=tuple(name for name in NAMES if name != NAMES[number]),
            asks_per_second=0.25,
            think_seconds=THINK_SECONDS,
            topics=TOPICS[number],
            run=f"{monotonic_ns():x}",
        )
        endpoint = Endpoint(host=self._host, port=self._port, token="", client=plan.name)
        lines = Lines(Wire(endpoint, number * 2 + 1), Wire(endpoint, number * 2 + 2))
        agent = Agent(plan, lines, _Memory(plan.name, self._arrivals), monotonic_ns, number)
        agent.on_end = self._ended
        return agent

    def _ended(self, asker: str, asked: Pending, end: Item) -> None:
        if end.question is None:
            return
        arrived_ns = self._arrivals.pop(end.question.question_id, 0)
        delivered = f"delivered {(arrived_ns - asked.since_ns) / 1e6:.0f} ms, " if arrived_ns else ""
        who = f"{asker} → {asked.peer}"
        what = f"{delivered}{end.question.status}"
        self._note(f"{end.timestamp[11:19]} {end.question.question_id}  {who:<24} {asked.message:<26} {what}")


def start_background(url: str, note: Note) -> threading.Thread:
    """Let the small fleet talk at ``url`` in a daemon thread, until the process ends."""
    thread = threading.Thread(target=_talk, args=(url, note), name="demo-fleet", daemon=True)
    thread.start()
    return thread


def _talk(url: str, note: Note) -> None:
    async def flow() -> None:
        try:
            await Flow(url, note).run()
        except* (CallError, AgentError) as faults:
            note(f"the demo fleet has stopped: {faults.exceptions[0]}")

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(flow())
