"""Background: the tasks of the engine that nobody awaits, held so that none is lost or outlives it."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger("crossfade.engine")


class Background:
    """Owns tasks from start to end; a fault in one is logged and ends that one alone."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], what: str) -> None:
        """Run ``work``; ``what`` names it in the log line if it fails."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(done, what))

    def _done(self, task: "asyncio.Task[None]", what: str) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("background.failed", exc_info=task.exception(), extra={"what": what})

    async def stop(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
