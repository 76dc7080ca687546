"""Storing: a question on its way into the log, and then towards its end, as one wait.

Whoever asks and waits for the end has nothing to do when the question is stored but to wait on. So the committer's
turn itself turns the one wait into the other, and the caller is woken once and not twice (docs/adr/0028).
"""

import asyncio
from collections.abc import Callable
from functools import partial

from crossfade.core.values import Instant, QuestionId
from crossfade.engine.context import Context
from crossfade.engine.ports import Committed, Duplicate, LogError, Result
from crossfade.engine.requests import QuestionView
from crossfade.engine.timers import Timer
from crossfade.engine.views.questions import Entry, view

Asked = Callable[[Callable[[], QuestionView]], None]
"""Told once the question is durable, with what shows it as it is then; quick, and does not raise."""
Over = asyncio.Future[Duplicate | None]


class Stored:
    """One question that is being asked."""

    __slots__ = ("_asked", "_c", "_question_id", "_timer", "_until", "entry", "over")

    def __init__(self, context: Context, question_id: QuestionId, until: Instant | None, asked: Asked | None) -> None:
        """``until``: how long the end is waited for; None: not at all."""
        self._c = context
        self._question_id = question_id
        self._until = until
        self._asked = asked
        self.over: Over = asyncio.get_running_loop().create_future()
        """The first use of the key, if there was one; or the fault of the log."""
        self._timer: Timer | None = None
        self.entry: Entry | None = None
        """The question, if it is stored and its end is waited for."""

    def told(self, result: Result | LogError) -> None:
        """What the log says; called when the views have it."""
        over = self.over
        if over.done():
            return
        if isinstance(result, Committed):
            if self._until is None:
                over.set_result(None)
                return
            entry = self.entry = self._c.views.questions[self._question_id]
            if self._asked is not None:
                self._asked(partial(view, entry))
            entry.wait(over, collect=True)
            self._timer = self._c.timers.at(self._until, settle, over, None)
        elif isinstance(result, Duplicate):
            over.set_result(result)
        else:
            assert isinstance(result, LogError), result  # nobody else knows the id
            over.set_exception(result)

    def close(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None and self.entry is not None:
            self._timer.cancel()
            self.entry.forget(self.over, collect=True)


def settle(future: Over, result: Duplicate | None) -> None:
    """Give ``future`` its result unless it has one."""
    if not future.done():
        future.set_result(result)
