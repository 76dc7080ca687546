"""Official MCP clients at both ends of a conversation: every revision, every combination of lanes.

    python -m tests.e2e.official 1000

asks 1,000 questions in each of the eight conversations, reconciles them from the agents' journals and
exits 0 only if all were answered, none lost and none doubled.
"""

import asyncio
import itertools
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from crossfade.client.api import Api
from crossfade.client.transport import Transport
from crossfade.fleet.agents import Agent, Habit, Plan
from crossfade.fleet.cast import Part
from crossfade.fleet.journal import Step
from crossfade.fleet.reconcile import Account, reconcile
from crossfade.fleet.roster import Fleet
from crossfade.fleet.supervisor import HOST, HubProcess
from crossfade.fleet.wire import Revision

LANES = ("polling", "elicitation")
CLUSTERS = ("left", "right")
ASKS_PER_SECOND = 40.0


class Conversation(NamedTuple):
    """What came of one asker and one addressee."""

    revision: str
    asker_lane: str
    addressee_lane: str
    account: Account
    received: set[str]
    """Channels on which questions reached the addressee."""
    ended: set[str]
    """Calls in which the ends reached the asker."""


def parts_of(questions: int) -> list[Part]:
    """In either cluster, for every revision and every lane of the other end: one asker and one addressee."""
    parts = []
    for cluster, revision, other in itertools.product(CLUSTERS, Revision, CLUSTERS):
        for role, asks, peer in (("asker", ASKS_PER_SECOND, "addressee"), ("addressee", 0.0, "asker")):
            plan = Plan(
                name=name_of(role, cluster, other, revision),
                cluster=cluster,
                habit=Habit.ADAPTIVE,
                peers=(name_of(peer, other, cluster, revision),),
                asks_per_second=asks,
                asks_max=questions,
            )
            parts.append(Part(plan=plan, revision=revision, official=True))
    return parts


def name_of(role: str, cluster: str, other: str, revision: str) -> str:
    """The agent of ``role`` in ``cluster`` whose counterpart is in ``other``."""
    return f"{role}-{cluster}-{other}-{revision}"


async def part_the_lanes(api: Api, names: list[str]) -> dict[str, str]:
    """Raise the share until one of the two clusters is on elicitation; agent → lane."""
    await api.steer("start", {"name": "official", "salt": "official"})
    for percent in range(5, 101, 5):
        await api.steer("set", {"share": percent / 100, "reason": "one of two clusters"})
        lanes = {agent.name: agent.lane for agent in await api.agents() if agent.name in names}
        if set(lanes.values()) == set(LANES):
            return lanes
    raise AssertionError("no share puts exactly one of the clusters on elicitation")


async def converse(questions: int, folder: Path) -> list[Conversation]:
    """All eight conversations side by side, on a hub of their own."""
    hub = HubProcess(folder / "hub")
    await hub.start()
    try:
        fleet = Fleet(parts_of(questions), 1, folder / "journals")
        async with Api(Transport(hub.url, token=hub.operator_token)) as api:
            await fleet.enlist(api, HOST, hub.port)
            lanes = await part_the_lanes(api, [part.plan.name for part in fleet.parts])
        agents = {agent.plan.name: agent for agent in fleet.agents}
        for name, agent in agents.items():
            agent.lane = lanes[name]
        try:
            await talk(fleet, questions)
        finally:
            fleet.close()
    finally:
        await hub.stop()
    return [
        outcome(agents, lanes, cluster, other, revision)
        for revision, cluster, other in itertools.product(Revision, CLUSTERS, CLUSTERS)
    ]


async def talk(fleet: Fleet, questions: int) -> None:
    """Let everybody run until each asker has asked and everything has ended."""
    askers = [agent for agent in fleet.agents if agent.plan.asks_per_second]
    async with asyncio.timeout(240 + questions), asyncio.TaskGroup() as group:
        running = [group.create_task(agent.run()) for agent in fleet.agents]
        await asyncio.gather(*(agent.all_asked.wait() for agent in askers))
        await fleet.drain()
        for task in running:
            task.cancel()


def outcome(agents: dict[str, Agent], lanes: dict[str, str], cluster: str, other: str, revision: str) -> Conversation:
    asker = agents[name_of("asker", cluster, other, revision)]
    addressee = agents[name_of("addressee", other, cluster, revision)]
    return Conversation(
        revision=revision,
        asker_lane=lanes[asker.plan.name],
        addressee_lane=lanes[addressee.plan.name],
        account=reconcile([asker.journal.entries, addressee.journal.entries]),
        received={entry.channel for entry in addressee.journal.entries if entry.step is Step.RECEIVED},
        ended={entry.channel for entry in asker.journal.entries if entry.step is Step.ENDED},
    )


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> int:
    questions = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory(prefix="crossfade-official-") as folder:
        found = asyncio.run(converse(questions, Path(folder)))
    say("revision    asker on     addressee on  questions answered lost doubled  received as  ended in")
    for one in sorted(found, key=lambda one: one[:3]):
        account = one.account
        who = f"{one.revision}  {one.asker_lane:<12} {one.addressee_lane:<13}"
        counts = f"{account.questions:>9} {account.answered:>8} {len(account.lost):>4} {len(account.doubled):>7}"
        say(f"{who} {counts}  {','.join(sorted(one.received)):<12} {','.join(sorted(one.ended))}")
    whole = all(
        one.account.answered == one.account.questions == questions and not one.account.lost and not one.account.doubled
        for one in found
    )
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
