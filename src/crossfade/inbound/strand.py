"""A strand: a request's work, begun in the call that brought its bytes, and continued when what it waits for is there.

Does for a coroutine what a task of asyncio does, for a third of the price (docs/adr/0027), because it does less: it
has no result, no name, no place in ``asyncio.all_tasks``, and ``asyncio.current_task`` knows nothing of it. Nobody
awaits one.

Rules
-----
1. Cancelling is as with a task: what the work waits for is cancelled, and the work may deal with that.
2. Work ends by returning, or goes on with the work that it returns.
   A fault that it lets through is written down and ends its connection.
3. Work on a strand must not use what needs a task: ``asyncio.timeout``, ``asyncio.TaskGroup``.

Source: asyncio/tasks.py, ``Task.__step`` and ``Task.cancel`` (the protocol between a coroutine and its futures).
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec

log: Final = logging.getLogger("crossfade.http")

Work = Coroutine[Any, Any, Any]
"""Returns None, or more work that is to take its place: then nothing of it is kept while that waits."""


class Strands:
    """The strands of one server that are not at their end."""

    __slots__ = ("_running", "_waiter")

    def __init__(self) -> None:
        self._running: set[Strand] = set()
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, work: Work, abort: Callable[[], None]) -> "Strand | None":
        """Run ``work`` up to its end or its first wait; the strand it continues on, if it waits.

        ``abort`` drops the connection, if the work lets a fault through.
        """
        try:
            waits_for = work.send(None)
        except StopIteration as end:
            return None if end.value is None else self.begin(end.value, abort)
        except Exception:
            log.exception("a request could not be served")
            abort()
            return None
        strand = Strand(work, self, abort)
        self._running.add(strand)
        strand.wait_for(waits_for)
        return strand

    def ended(self, strand: "Strand") -> None:
        """Forget it."""
        self._running.discard(strand)
        if self._waiter is not None and not self._running and not self._waiter.done():
            self._waiter.set_result(None)

    async def finish(self, seconds: float) -> None:
        """Wait until all are at their end; after ``seconds`` cancel the rest. For one caller at a time."""
        if not self._running:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._waiter,), timeout=seconds)
        self._waiter = None
        for strand in tuple(self._running):
            strand.cancel()


class Strand(msgspec.Struct, eq=False):
    """Work that waits for something. Made by ``Strands``."""

    _work: Work
    _strands: Strands
    _abort: Callable[[], None]
    _waits_for: asyncio.Future[Any] | None = None
    _must_cancel: bool = False

    def cancel(self) -> None:
        """Cancel what the work waits for, or its next wait; nothing if it is at its end."""
        waits_for = self._waits_for
        if waits_for is None or not waits_for.cancel():
            self._must_cancel = True

    def wait_for(self, waited: Any) -> None:
        """Go on when ``waited`` is done, a future that the work yielded; None is the next turn of the loop."""
        self._waits_for = waited
        if waited is None:
            asyncio.get_running_loop().call_soon(self._go_on, None)
            return
        waited._asyncio_future_blocking = False  # noqa: SLF001 - how whoever drives a coroutine takes over its wait
        waited.add_done_callback(self._go_on)
        if self._must_cancel and waited.cancel():
            self._must_cancel = False

    def _go_on(self, _done: object) -> None:
        self._waits_for = None
        work = self._work
        try:
            if self._must_cancel:
                self._must_cancel = False
                waits_for = work.throw(asyncio.CancelledError())
            else:
                waits_for = work.send(None)
        except StopIteration as end:
            if end.value is None:
                self._strands.ended(self)
            else:
                self._work = end.value
                self._go_on(None)
        except asyncio.CancelledError:
            self._strands.ended(self)
        except Exception:
            self._strands.ended(self)
            log.exception("a request could not be served")
            self._abort()
        else:
            self.wait_for(waits_for)
