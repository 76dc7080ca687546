"""Who takes part in a demonstration: teams of agents with roles, habits, protocol revisions and peers.

Not how they behave (fleet/agents.py) and not how they connect. Everything follows from the settings and
the seed, so two runs have the same cast.
"""

from typing import Final

import msgspec

from crossfade.fleet.agents import Habit, Plan
from crossfade.fleet.wire import Revision

ROLES: Final = (
    ("planner", Habit.ADAPTIVE),
    ("reviewer", Habit.UNCHANGED),
    ("builder", Habit.ADAPTIVE),
    ("tester", Habit.TEXTUAL),
    ("deploy-bot", Habit.UNCHANGED),
)
"""Role and habit: two follow the lane, two never change their call, one cannot be elicited at all."""
TOPICS: Final = (
    "Ship build {n}?",
    "May I merge change {n}?",
    "Does test {n} still matter?",
    "Roll out to region {n}?",
    "Is finding {n} real?",
)
OWN_TEAM_WEIGHT: Final = 3
"""An agent draws a peer of its own team this many times for each draw from another team."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One agent of the cast."""

    plan: Plan
    revision: Revision
    official: bool = False
    """Runs on the official MCP client."""


def lean_cast(agents: int, teams: int, asks_per_second: float, run: str) -> list[Part]:
    """``agents`` lean agents spread over ``teams`` labelled clusters, asking ``asks_per_second`` in all."""
    names = [_name(number, teams) for number in range(agents)]
    parts = []
    for number, name in enumerate(names):
        team = number % teams
        mates = [other for index, other in enumerate(names) if index % teams == team and other != name]
        stranger = names[(number + 1) % agents]
        plan = Plan(
            name=name,
            cluster=f"team-{team:02}",
            habit=ROLES[(number // teams) % len(ROLES)][1],
            peers=(*mates * OWN_TEAM_WEIGHT, stranger) if mates else (stranger,),
            asks_per_second=asks_per_second / agents,
            topics=TOPICS,
            run=run,
        )
        revision = Revision.STATELESS if (team + number // teams) % 2 == 0 else Revision.SESSION
        parts.append(Part(plan=plan, revision=revision))
    return parts


def official_cast(agents: int, asks_per_second_each: float, run: str) -> list[Part]:
    """Agents on the official client, in pairs of both revisions; everyone asks and everyone answers."""
    names = [f"official-{number}" for number in range(agents)]
    habits = (Habit.ADAPTIVE, Habit.ADAPTIVE, Habit.UNCHANGED, Habit.UNCHANGED)
    revisions = (Revision.STATELESS, Revision.SESSION)
    return [
        Part(
            plan=Plan(
                name=name,
                cluster=f"official-{number // 2}",
                habit=habits[number % len(habits)],
                peers=tuple(other for other in names if other != name),
                asks_per_second=asks_per_second_each,
                topics=TOPICS,
                run=run,
            ),
            revision=revisions[number % 2],
            official=True,
        )
        for number, name in enumerate(names)
    ]


def _name(number: int, teams: int) -> str:
    lap, role = divmod(number // teams, len(ROLES))
    return f"{ROLES[role][0]}-{number % teams:02}" + (f"-{lap}" if lap else "")
