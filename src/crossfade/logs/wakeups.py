"""Callers that wait for a shard to grow. In one process, on one event loop; a hint, never the truth."""

import asyncio
from collections import defaultdict

from crossfade.core.values import Shard


class Wakeups:
    """The waiting callers by shard."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Shard, set[asyncio.Future[None]]] = defaultdict(set)

    async def wait(self, shard: Shard, timeout_seconds: float) -> None:
        """Return at the next ``wake`` of the shard, or after ``timeout_seconds``."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[shard].add(future)
        try:
            await asyncio.wait((future,), timeout=timeout_seconds)
        finally:
            self._waiting[shard].discard(future)

    def wake(self, shard: Shard) -> None:
        """Let everybody go who waits for ``shard``."""
        for future in self._waiting.pop(shard, ()):
            if not future.done():
                future.set_result(None)

    def wake_all(self) -> None:
        """Let everybody go: the log closes."""
        for shard in list(self._waiting):
            self.wake(shard)
