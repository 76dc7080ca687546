"""``inbox`` and ``question``: what is asked of you, and any question by its id."""

from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from crossfade.cli.asking import ENDS, RESULT, until_end
from crossfade.cli.exits import Exit
from crossfade.cli.options import PLAIN, Limit, Options, QuestionName, call, hub_url, seconds
from crossfade.cli.output import Output, row_of
from crossfade.client.api import Api
from crossfade.client.inlet import Inlet
from crossfade.client.views import Item, QuestionView

FIELDS: Final = ("question_id", "from", "message", "delivery", "deadline", "lane")
WATCHED: Final = ("kind", "id", "from", "content", "at")


def ls(*, limit: Limit = 100, options: Options = PLAIN) -> int:
    """List open questions put to you, oldest first."""
    views = call(options, lambda api: api.open_questions(limit))
    Output(options).table([row_of(view, FIELDS) for view in views], FIELDS)
    return Exit.OK


def show(question_id: QuestionName, *, options: Options = PLAIN) -> int:
    """Show a question as it is now, with its schema and where it went."""
    Output(options).one(row_of(call(options, lambda api: api.question(question_id))))
    return Exit.OK


def wait(
    question_id: QuestionName,
    *,
    timeout: Annotated[str | None, Parameter(help="Wait so long at most, e.g. 5m.")] = None,
    options: Options = PLAIN,
) -> int:
    """Wait for the end of a question.

    Exit code: 0 answered, 5 declined or withdrawn, 10 expired or not ended in time.
    """
    longest = seconds(timeout) if timeout else None

    async def work(api: Api) -> QuestionView:
        return await until_end(api, await api.question(question_id), longest)

    view = call(options, work, patience_seconds=30.0)
    Output(options).one(row_of(view, RESULT))
    return ENDS.get(view.status, Exit.REFUSED)


def withdraw(
    question_id: QuestionName,
    *,
    reason: Annotated[str, Parameter(help="Why, for whoever was asked.")] = "",
    options: Options = PLAIN,
) -> int:
    """Take back a question you asked."""
    Output(options).one(row_of(call(options, lambda api: api.withdraw(question_id, reason)), RESULT))
    return Exit.OK


def watch(
    *, count: Annotated[int | None, Parameter(help="End after so many.")] = None, options: Options = PLAIN
) -> int:
    """Print questions and messages to you as they come; ends after COUNT, or when interrupted."""
    output = Output(options)
    output.header(WATCHED)
    output.note(f"watching {hub_url(options)}; stop with Ctrl-C")

    async def work(api: Api) -> None:
        left = count
        async for arrival in Inlet(api, (await api.me()).name).arrivals():
            output.line(_seen(arrival))
            left = None if left is None else left - 1
            if left == 0:
                return

    call(options, work, patience_seconds=30.0)
    return Exit.OK


def _seen(arrival: QuestionView | Item) -> dict[str, object]:
    whole = msgspec.to_builtins(arrival)
    if isinstance(arrival, Item):
        values = (arrival.kind, arrival.id, whole["from"], arrival.content, arrival.timestamp)
    else:
        values = ("question", arrival.question_id, whole["from"], arrival.message, arrival.asked_at)
    return dict(zip(WATCHED, values, strict=True))
