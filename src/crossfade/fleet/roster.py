"""The agents of one run: their credentials, their lines, their journals, and whether they have finished.

Not what they are like (fleet/cast.py) and not what is done to the hub meanwhile (fleet/demo.py).
"""

import asyncio
import importlib
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Final

from crossfade.client.api import Api
from crossfade.fleet.agents import Agent, Lines
from crossfade.fleet.cast import Part
from crossfade.fleet.dice import Dice
from crossfade.fleet.host import monotonic_ns
from crossfade.fleet.journal import Journal, Step
from crossfade.fleet.report import OfficialCount
from crossfade.fleet.wire import Endpoint, Line, Wire

DRAIN_SECONDS: Final = 60.0
"""How long open questions may take to end after the last one was asked."""
LOOK_SECONDS: Final = 0.1
"""Between looks whether everything has ended."""
ISSUING_MAX: Final = 16
"""Tokens made side by side."""


class DemoError(Exception):
    """The demonstration cannot go on. ``hint`` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class Fleet:
    """The agents of one demonstration, with their journals."""

    def __init__(self, parts: list[Part], seed: int, folder: Path) -> None:
        self.parts = parts
        self.agents: list[Agent] = []
        self._folder = folder
        self._dice = Dice(seed)

    async def enlist(self, api: Api, host: str, port: int) -> None:
        """Give every agent a credential and its lines. Raises CrossfadeError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        gate = asyncio.Semaphore(ISSUING_MAX)

        async def token(part: Part) -> str:
            body: dict[str, object] = {"name": part.plan.name, "scopes": ["agent"], "label": part.plan.cluster}
            async with gate:
                return (await api.issue_token(body)).token

        tokens = await asyncio.gather(*(token(part) for part in self.parts))
        for part, secret in zip(self.parts, tokens, strict=True):
            endpoint = Endpoint(
                host=host,
                port=port,
                token=secret,
                client="crossfade-fleet",
                revision=part.revision,
                capable=part.plan.capable,
            )
            self.agents.append(self._agent(part, endpoint))

    def _agent(self, part: Part, endpoint: Endpoint) -> Agent:
        journal = Journal(part.plan.name, monotonic_ns, self._folder / f"{part.plan.name}.jsonl")
        lines = self._lines(part, endpoint)
        return Agent(part.plan, lines, journal, monotonic_ns, self._dice.word())

    def _lines(self, part: Part, endpoint: Endpoint) -> Lines:
        if part.official:
            line = official_line(endpoint, self._dice.word())
            return Lines(line, line)
        return Lines(Wire(endpoint, self._dice.word()), Wire(endpoint, self._dice.word()))

    @property
    def asked(self) -> int:
        """Questions acknowledged so far."""
        return sum(agent.asked for agent in self.agents)

    @property
    def open(self) -> int:
        """Questions without an end so far."""
        return sum(len(agent.open) for agent in self.agents)

    async def drain(self) -> int:
        """Ask nothing more and wait for every end; the number of agents that did not finish."""
        for agent in self.agents:
            agent.asking = False
        for _ in range(round(DRAIN_SECONDS / LOOK_SECONDS)):
            if not any(agent.busy for agent in self.agents):
                break
            await asyncio.sleep(LOOK_SECONDS)
        return sum(agent.busy for agent in self.agents)

    def close(self) -> None:
        """Write the journals out."""
        for agent in self.agents:
            agent.journal.close()

    def official_counts(self) -> dict[str, OfficialCount]:
        """What the official agents did, by revision."""
        found: dict[str, OfficialCount] = {}
        for revision in dict.fromkeys(part.revision for part in self.parts if part.official):
            mine = [
                agent
                for part, agent in zip(self.parts, self.agents, strict=True)
                if part.official and part.revision is revision
            ]
            entries = [entry for agent in mine for entry in agent.journal.entries]
            steps = Counter(entry.step for entry in entries)
            found[revision] = OfficialCount(
                agents=len(mine),
                questions=steps[Step.ASKED],
                answered=len({entry.question for entry in entries if entry.status == "answered"}),
                received=dict(Counter(entry.channel for entry in entries if entry.step is Step.RECEIVED)),
            )
        return found


def official_line(endpoint: Endpoint, seed: int) -> Line:
    """A line on the official client. Raises DemoError when it is not installed."""
    make: Callable[[Endpoint, int], Line] = official_module().OfficialLine
    # It logs a stack for every connection that is lost or cancelled; here both are part of the plan.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    return make(endpoint, seed)


def official_module() -> ModuleType:
    """fleet/official.py. Raises DemoError when the client is not installed."""
    try:
        # Not imported above: the extra is optional, and importing the client takes a second.
        return importlib.import_module("crossfade.fleet.official")
    except ImportError as missing:
        raise DemoError(
            f"the official MCP client is not installed ({missing.name} is missing)", "pip install 'crossfade[agents]'"
        ) from missing
