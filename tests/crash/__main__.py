"""Kill a real hub under load, again and again, and check what its clients saw.

``python -m tests.crash --kills 50 [--per-run 25] [--seed 1]``. Half of the kills come at a random moment, half
at a named point of the log (doomed.py). Each run keeps one folder, one fleet and many lives of a hub. The
clients' histories are checked for one end of every question and for delivery; they stay if something is wrong.
"""

import argparse
import asyncio
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
from crossfade.core.histories import Account, Line, Piece, Receive, Send, Settle, check
from crossfade.core.values import Instant
from crossfade.fleet.agents import Batch
from crossfade.fleet.cast import lean_cast
from crossfade.fleet.histories import read_history
from crossfade.fleet.roster import Fleet
from crossfade.fleet.supervisor import HOST, HubProcess
from crossfade.fleet.wire import Endpoint, Wire

AGENTS, TEAMS, ASKS_PER_SECOND = 12, 3, 60.0
PAIRS = 2


class Mail:
    """One sender and one recipient of numbered messages, who write a history."""

    def __init__(self, number: int, history: list[Line]) -> None:
        self.sender, self.recipient = f"sender-{number}", f"recipient-{number}"
        self.history = history
        self.sent: set[str] = set()
        self.got: set[str] = set()
        self.sending = True

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
            self.history.append(
                Receive(client=self.recipient, called_at=Instant(began), returned_at=now(), items=items, after=cursor)
            )
            cursor = max(cursor, msgspec.json.decode(outcome.content, type=Batch).cursor)


def now() -> Instant:
    """The clock of the histories: CLOCK_MONOTONIC, as in the journals."""
    return Instant(time.monotonic_ns())


class Killings:
    """Ends the hub's lives, each in another way."""

    def __init__(self, hub: HubProcess, dice: random.Random) -> None:
        self.hub = hub
        self.dice = dice
        self.ways: Counter[str] = Counter()

    async def run(self, kills: int) -> None:
        """So many, each after the hub was up again."""
        for _ in range(kills):
            doom = self.dice.choice(("", "", "before", "after", "after", "replay"))
            # What the environment says now, the next life reads; this life ends at a random moment at the latest.
            self._prepare(doom)
            ended = self.hub.restarts
            if not await self._ends(ended, self.dice.random() * 0.5):
                self.hub.kill()
                self.ways["at random"] += 1
            await self._up(ended)
        os.environ.pop("DOOM", None)

    def _prepare(self, doom: str) -> None:
        counts = {"before": 60, "after": 60, "replay": 2}
        os.environ["DOOM"] = f"{doom}:{self.dice.randrange(1, counts[doom])}" if doom else ""
        if doom:
            self.ways[f"named: {doom}"] += 1

    async def _ends(self, ended: int, seconds: float) -> bool:
        """Whether it died by itself within the time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.hub.restarts > ended:
                return True
            await asyncio.sleep(0.01)
        return False

    async def _up(self, ended: int) -> None:
        while self.hub.restarts == ended or not await self.hub._says_ready():
            if self.hub.restarts > ended:
                os.environ["DOOM"] = os.environ["DOOM"] if "replay" not in os.environ["DOOM"] else ""
            await asyncio.sleep(0.02)


async def one_run(folder: Path, seed: int, kills: int) -> tuple[Account, int, Counter[str]]:
    """One fleet, many lives of a hub; what the clients saw."""
    dice = random.Random(seed)
    hub = HubProcess(folder / "hub", module="tests.crash.doomed")
    await hub.start()
    mails: list[Line] = []
    fleet = Fleet(lean_cast(AGENTS, TEAMS, ASKS_PER_SECOND, f"run-{seed}"), seed, folder / "journals")
    pairs = [Mail(number, mails) for number in range(PAIRS)]
    try:
        async with Api(Transport(hub.url, token=hub.operator_token)) as api:
            await fleet.enlist(api, HOST, hub.port)
            lines = {name: await _line(api, hub, name) for pair in pairs for name in (pair.sender, pair.recipient)}
        killings = Killings(hub, dice)
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(agent.run()) for agent in fleet.agents]
            background.append(group.create_task(hub.failed()))
            background += [group.create_task(pair.receive(lines[pair.recipient])) for pair in pairs]
            senders = [group.create_task(pair.send(lines[pair.sender])) for pair in pairs]
            await asyncio.sleep(0.3)
            await killings.run(kills)
            await _quiet(fleet, pairs, senders)
            for task in background:
                task.cancel()
        fleet.close()
    finally:
        await hub.stop()
    history = [*read_history([folder / "journals"]), *mails]
    history.append(Settle(client="all", called_at=now()))
    return check(history), hub.restarts, killings.ways


async def _quiet(fleet: Fleet, pairs: list[Mail], senders: "list[asyncio.Task[None]]") -> None:
    """Nothing new; wait until everything has arrived, as long as that may take."""
    for pair in pairs:
        pair.sending = False
    await asyncio.wait(senders)
    await fleet.drain()
    for _ in range(600):
        if all(pair.sent <= pair.got for pair in pairs):
            return
        await asyncio.sleep(0.05)


async def _line(api: Api, hub: HubProcess, name: str) -> Wire:
    token = (await api.issue_token({"name": name, "scopes": ["agent"]})).token
    return Wire(Endpoint(host=HOST, port=hub.port, token=token, client="crash"), sum(name.encode()))


def main(arguments: list[str]) -> int:
    """Kill, check, report; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--per-run", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    root = Path(__file__).parents[2]
    os.environ["PYTHONPATH"] = f"{root / 'src'}{os.pathsep}{root}"  # the hub's process begins in another folder
    began, done, broken, ways, total = time.perf_counter(), 0, 0, Counter[str](), Counter[str]()
    while done < options.kills:
        kills = min(options.per_run, options.kills - done)
        folder = Path(tempfile.mkdtemp(prefix="crossfade-crash-"))
        account, deaths, how = asyncio.run(one_run(folder, options.seed + done, kills))
        done += kills
        ways.update(how)
        total.update(
            deaths=deaths, operations=account.operations, questions=account.questions, messages=account.messages
        )
        broken += len(account.violations)
        for violation in account.violations[:10]:
            print(f"{folder}: {violation.rule} {violation.subject}: {violation.message}", flush=True)
        if not account.violations:
            shutil.rmtree(folder)
    seconds = time.perf_counter() - began
    print(f"ways: {dict(ways)}")
    print(
        f"{total['deaths']} deaths of {done} planned kills, {total['questions']} questions,"
        f" {total['messages']} messages,"
        f" {total['operations']} operations in {seconds:.0f} s; {broken} promises broken"
    )
    return int(broken > 0 or total["deaths"] < done)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
