"""Three agents that talk on a development hub, so that its first screen is not empty.

They are ordinary guests on the SDK. The fleet that is measured and moved between lanes is ``crossfade demo``.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from crossfade.client import Agent, CrossfadeError, Decline, QuestionView

PAUSE_SECONDS: Final = 3.0
Say = Callable[[str], None]


@asynccontextmanager
async def company(url: str, say: Say) -> AsyncIterator[None]:
    """Let planner, reviewer and deploy-bot talk while the block runs; each end of a question is said in one line."""
    logging.getLogger("crossfade.client").setLevel(logging.CRITICAL)
    agents = [Agent(name, url=url) for name in ("planner", "reviewer", "deploy-bot")]
    planner, reviewer, deployer = agents
    reviewer.answers(_review)
    deployer.answers(_deploy)
    planner.answers(_plan)
    tasks = [asyncio.create_task(_serve(agent)) for agent in agents]
    tasks.append(asyncio.create_task(_converse(url, say)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _serve(agent: Agent) -> None:
    async with agent:
        await agent.serve()


async def _review(question: QuestionView) -> str:
    """Ship, unless it is a build that ends in 3."""
    if question.message.rstrip("?").endswith("3"):
        raise Decline("its tests are red")
    return "ship"


async def _deploy(question: QuestionView) -> bool:
    return "production" not in question.message


async def _plan(question: QuestionView) -> str:
    return "go on"


async def _converse(url: str, say: Say) -> None:
    async with Agent("planner", url=url) as planner:
        for number in itertools.count(1):
            await asyncio.sleep(PAUSE_SECONDS)
            place = "production" if number % 4 == 0 else "staging"
            try:
                await _put(planner, say, "reviewer", f"Ship build {number}?", ("ship", "hold"))
                await _put(planner, say, "deploy-bot", f"Is {place} free for build {number}?", ("yes", "no"))
            except CrossfadeError as error:
                say(f"          the demo pauses: {error.message}")


async def _put(asker: Agent, say: Say, to: str, message: str, choices: tuple[str, ...]) -> None:
    shape = {"type": "object", "properties": {"free": {"type": "boolean"}}, "required": ["free"]}
    answer = await (asker.ask(to, message, shape) if "yes" in choices else asker.ask(to, message, choices=choices))
    said = answer.content if answer.accepted else answer.reason
    say(f"{answer.question_id}  {asker.name} → {to}  {message}  {answer.status}: {said}")
