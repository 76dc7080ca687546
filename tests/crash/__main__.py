"""Kill a real hub under load, again and again, and check what its clients saw.

``python -m tests.crash --kills 50 [--per-run 25] [--seed 1]``. Half of the kills come at a random moment, half
at a named point of the log or of its checkpoints (doomed.py); ``--plant forget`` is a hub that forgets, and must
be caught. Each run keeps one folder, one fleet and many lives of a hub. The
clients' histories are checked for one end of every question and for delivery; they stay if something is wrong.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec

from crossfade.client.api import Api
from crossfade.client.transport import Transport
from crossfade.core.histories import Account, Line, Piece, Receive, Send, Settle, Violation, check
from crossfade.core.values import Instant
from crossfade.fleet.agents import AgentError, Batch
from crossfade.fleet.cast import lean_cast
from crossfade.fleet.histories import read_history
from crossfade.fleet.roster import Fleet
from crossfade.fleet.supervisor import HOST, HubProcess
from crossfade.fleet.wire import Endpoint, Wire
from tests.crash.doomed import DEATHS
from tests.crash.last_look import last_look

AGENTS, TEAMS, ASKS_PER_SECOND = 12, 3, 60.0
PAIRS = 2
QUIET_SECONDS_MAX = 90.0
PLANTED_SECONDS_MAX = 5.0
"""What a hub that forgets has lost never comes."""
NAMED_SECONDS_MAX = 60.0
"""A life that has not come to its named point by then ends at a random moment: the pace of the machine decides."""
ENOUGH = 10
"""Kills after which every named point must have been one."""
NAMED = {"before": 60, "after": 60, "replay": 2, "unmarked": 2, "marked": 2}
"""Point → how often it may be passed before it kills."""


class Mail:
    """One sender and one recipient of numbered messages, who write a history."""

    def __init__(self, number: int, history: list[Line]) -> None:
        self.sender, self.recipient = f"sender-{number}", f"recipient-{number}"
        self.history = history
        self.sent: set[str] = set()
        self.got: set[str] = set()
        self.sending = True
        self.complete = asyncio.Event()
        """Nothing more is sent, and all has arrived."""

    async def send(self, line: Wire) -> None:
        """One message after another until told to stop."""
        number = 0
        while self.sending:
            number += 1
            began = time.monotonic_ns()
            arguments = {"to": [self.recipient], "body": str(number), "key": f"{self.sender}-{number}"}
            outcome = await line.call("send", arguments)
            if outcome.failed:
                await asyncio.sleep(0.05)
                continue
            message = msgspec.json.decode(outcome.content)["message_id"]
            self.sent.add(message)
            self.history.append(
                Send(
                    client=self.sender,
                    called_at=Instant(began),
                    returned_at=now(),
                    to=(self.recipient,),
                    message=message,
                )
            )
            await asyncio.sleep(0.02)

    def look(self) -> None:
        """Whether it is complete."""
        if not self.sending and self.sent <= self.got:
            self.complete.set()

    async def receive(self, line: Wire) -> None:
        """Wait with a cursor, for ever."""
        cursor = 0
        while True:
            began = time.monotonic_ns()
            arguments = {"agent_id": self.recipient, "timeout_seconds": 5, "since_sequence": cursor}
            outcome = await line.call("wait_for_messages", arguments)
            if outcome.failed:
                await asyncio.sleep(0.05)
                continue
            messages = msgspec.json.decode(outcome.content).get("messages", [])
            items = tuple(Piece(id=one["id"], sender=one["from"], sequence=one["sequence"]) for one in messages)
            self.got |= {piece.id for piece in items}
            self.look()
            self.history.append(
                Receive(client=self.recipient, called_at=Instant(began), returned_at=now(), items=items, after=cursor)
            )
            cursor = max(cursor, msgspec.json.decode(outcome.content, type=Batch).cursor)


def now() -> Instant:
    """The clock of the histories: CLOCK_MONOTONIC, as in the journals."""
    return Instant(time.monotonic_ns())


class Killings:
    """Ends the hub's lives: one at a random moment, the next at a named point, and so on through all points."""

    def __init__(self, hub: HubProcess, dice: random.Random, plant: str) -> None:
        self.hub = hub
        self.dice = dice
        self.plant = plant
        self.points = itertools.cycle(dice.sample(sorted(NAMED), len(NAMED)))
        self.at_random = 0

    async def run(self, kills: int) -> None:
        """So many, each after the hub was up again."""
        doom = ""
        for _ in range(kills):
            ended, patience = (
                self.hub.restarts,
                self.dice.random() * 0.5 if doom in ("", "forget") else NAMED_SECONDS_MAX,
            )
            doom = self.plant or ("" if doom else next(self.points))
            self._next_life(doom)
            if not await self._ends(ended, patience):
                self.hub.kill()
                self.at_random += 1
            await self._up(ended, doom)
            doom = doom if doom != "replay" else ""  # it is over, and the life that is there now has none
        os.environ.pop("DOOM", None)

    def ways(self) -> Counter[str]:
        """How its lives ended; those that ended at a named point have said so themselves."""
        return Counter({"at random": self.at_random, **self._named()})

    def _named(self) -> Counter[str]:
        deaths = self.hub.folder / DEATHS
        return (
            Counter(f"at {line}" for line in deaths.read_text("utf-8").splitlines()) if deaths.exists() else Counter()
        )

    def _next_life(self, doom: str) -> None:
        """What the environment says now, the next life reads."""
        os.environ["DOOM"] = f"{doom}:{self.dice.randrange(1, NAMED.get(doom, 2) + 1)}" if doom else ""

    async def _ends(self, ended: int, seconds: float) -> bool:
        """Whether it died by itself within the time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.hub.restarts > ended:
                return True
            await asyncio.sleep(0.01)
        return False

    async def _up(self, ended: int, doom: str) -> None:
        """Until it serves again, one death during the replay later if that is the doom."""
        before = self._named()["at replay"]
        while self.hub.restarts == ended or not await self.hub._says_ready():
            if doom == "replay" and self._named()["at replay"] > before:
                os.environ["DOOM"] = ""
            await asyncio.sleep(0.02)


async def one_run(folder: Path, seed: int, kills: int, plant: str = "") -> tuple[Account, Counter[str]]:
    """One fleet, many lives of a hub; what the clients saw. A refusal that no sound hub gives is a violation, too."""
    dice = random.Random(seed)
    complaints: list[Violation] = []
    hub = HubProcess(folder / "hub", module="tests.crash.doomed")
    await hub.start()
    killings = Killings(hub, dice, plant)
    mails: list[Line] = []
    looked: list[Line] = []
    fleet = Fleet(lean_cast(AGENTS, TEAMS, ASKS_PER_SECOND, f"run-{seed}"), seed, folder / "journals")
    pairs = [Mail(number, mails) for number in range(PAIRS)]
    try:
        async with Api(Transport(hub.url, token=hub.operator_token)) as api:
            await fleet.enlist(api, HOST, hub.port)
            lines = {name: await _line(api, hub, name) for pair in pairs for name in (pair.sender, pair.recipient)}
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(agent.run()) for agent in fleet.agents]
            background.append(group.create_task(hub.failed()))
            background += [group.create_task(pair.receive(lines[pair.recipient])) for pair in pairs]
            senders = [group.create_task(pair.send(lines[pair.sender])) for pair in pairs]
            await asyncio.sleep(0.3)
            await killings.run(kills)
            await _quiet(fleet, pairs, senders, PLANTED_SECONDS_MAX if plant else QUIET_SECONDS_MAX)
            looked = await last_look(hub, [entry for agent in fleet.agents for entry in agent.journal.entries])
            for task in background:
                task.cancel()
    except* AgentError as faults:
        complaints += [
            Violation(rule="refused", subject="hub", message=str(fault), lines=()) for fault in faults.exceptions
        ]
    finally:
        fleet.close()
        await hub.stop()
    history = [*read_history([folder / "journals"]), *mails, *looked]
    if not complaints:
        history.append(Settle(client="all", called_at=now()))
    account = check(history)
    whole = msgspec.structs.replace(account, violations=(*complaints, *account.violations))
    return whole, killings.ways()


async def _quiet(fleet: Fleet, pairs: list[Mail], senders: "list[asyncio.Task[None]]", seconds_max: float) -> None:
    """Nothing new; wait until everything has arrived, but not for ever: what has not, the checker calls lost."""
    for pair in pairs:
        pair.sending = False
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds_max):
            await asyncio.wait(senders)
            await fleet.drain()
            for pair in pairs:
                pair.look()
                await pair.complete.wait()


async def _line(api: Api, hub: HubProcess, name: str) -> Wire:
    token = (await api.issue_token({"name": name, "scopes": ["agent"]})).token
    return Wire(Endpoint(host=HOST, port=hub.port, token=token, client="crash"), sum(name.encode()))


def main(arguments: list[str]) -> int:
    """Kill, check, report; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--per-run", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", choices=("forget",), default="", help="a hub that breaks its promises")
    parser.add_argument("--json", action="store_true", help="one line of JSON at the end, for a campaign")
    options = parser.parse_args(arguments)
    root = Path(__file__).parents[2]
    os.environ["PYTHONPATH"] = f"{root / 'src'}{os.pathsep}{root}"  # the hub's process begins in another folder
    began, done, ways, total = time.perf_counter(), 0, Counter[str](), Counter[str]()
    broken: list[str] = []
    while done < options.kills:
        kills = min(options.per_run, options.kills - done)
        folder = Path(tempfile.mkdtemp(prefix="crossfade-crash-"))
        account, how = asyncio.run(one_run(folder, options.seed + done, kills, options.plant))
        done += kills
        ways.update(how)
        total.update(operations=account.operations, questions=account.questions, messages=account.messages)
        said = [f"{one.rule} {one.subject}: {one.message}" for one in account.violations]
        broken += [f"seed {options.seed + done - kills}, {folder}: {one}" for one in said]
        for one in said[:10]:
            print(f"{folder}: {one}", flush=True)
        if not account.violations:
            shutil.rmtree(folder)
    seconds = time.perf_counter() - began
    deaths, missed = ways.total(), [point for point in NAMED if f"at {point}" not in ways and done >= ENOUGH]
    print(f"ways: {dict(sorted(ways.items()))}; never: {missed}")
    print(
        f"{deaths} deaths of {done} planned kills, {total['questions']} questions, {total['messages']} messages,"
        f" {total['operations']} operations in {seconds:.0f} s; {len(broken)} promises broken"
    )
    if options.json:
        print(json.dumps({"done": done, "violations": len(broken), "first": broken[:20]}))
    return int(bool(broken) or deaths < done or bool(missed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
