"""``ask``, ``answer`` and ``send``."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, cast

import msgspec
from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.options import PLAIN, Options, QuestionName, call, seconds
from crossfade.cli.output import Output, row_of
from crossfade.client.api import Api, Ask, Reply, Send
from crossfade.client.views import Object, QuestionView

ENDS: Final = {"answered": Exit.OK, "expired": Exit.TIMED_OUT, "open": Exit.TIMED_OUT}
"""Status of a question → exit code; anything else is a refusal to answer."""
HELD_SECONDS: Final = 50.0
"""One held call of a wait."""
RESULT: Final = ("question_id", "status", "content", "reason", "ended_by", "delivery")


@Parameter(name="*")
@dataclass(frozen=True)
class Timing:
    """How long to wait for an answer, and how often."""

    deadline: Annotated[str | None, Parameter(help="Time to answer, e.g. 5m; then the question expires.")] = None
    wait: Annotated[str | None, Parameter(help="Wait here so long at most; the question stays open.")] = None
    no_wait: Annotated[bool, Parameter(negative="", help="Do not wait; print the question's id.")] = False
    key: Annotated[str | None, Parameter(help="Idempotency key: the same key asks only once.")] = None


UNHURRIED: Final = Timing()


def ask(
    to: Annotated[str, Parameter(help="Name of the agent or person.")],
    message: Annotated[str, Parameter(help="The question.")],
    *,
    choice: Annotated[
        list[str] | None, Parameter(negative="", help="Allowed answers: repeat it, or separate by commas.")
    ] = None,
    schema: Annotated[str | None, Parameter(help="JSON Schema of the answer: text, or a file as @path.")] = None,
    timing: Timing = UNHURRIED,
    options: Options = PLAIN,
) -> int:
    """Ask TO and wait for the answer.

    Exit code: 0 answered, 5 declined or withdrawn, 10 expired or not answered in time.
    """
    choices = tuple(part.strip() for text in choice or [] for part in text.split(",") if part.strip())
    if not choices and schema is None:
        schema = '{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"]}'
    deadline_seconds = seconds(timing.deadline) if timing.deadline else None
    wait_seconds = seconds(timing.wait) if timing.wait else None
    question = Ask(
        to=to,
        message=message,
        schema=None if choices else _object("--schema", schema or ""),
        choices=choices or None,
        deadline_seconds=deadline_seconds,
    )
    if timing.key:
        question.key = timing.key

    async def work(api: Api) -> QuestionView:
        view = await api.ask(question)
        Output(options).note(f"{view.question_id}  {view.delivery}, until {view.deadline}")
        return view if timing.no_wait else await until_end(api, view, wait_seconds)

    view = call(options, work, patience_seconds=0.0 if timing.no_wait else 30.0)
    Output(options).one(row_of(view, RESULT))
    return Exit.OK if timing.no_wait else ENDS.get(view.status, Exit.REFUSED)


async def until_end(api: Api, view: QuestionView, wait_seconds: float | None) -> QuestionView:
    """The question at its end, or as it is after ``wait_seconds``."""
    left = wait_seconds
    while view.status == "open" and (left is None or left > 0):
        held = HELD_SECONDS if left is None else min(left, HELD_SECONDS)
        view = await api.question(view.question_id, held)
        left = None if left is None else left - held
    return view


def answer(
    question_id: QuestionName,
    *values: Annotated[str, Parameter(help="field=value for each field, or the bare value of the only one.")],
    content: Annotated[str | None, Parameter(help="The whole answer as JSON, or a file as @path.")] = None,
    decline: Annotated[str | None, Parameter(help="Decline, and say why.")] = None,
    options: Options = PLAIN,
) -> int:
    """Answer a question put to you, or decline it. On a terminal it asks for the fields that are missing."""
    if decline is not None and (values or content):
        raise usage("an answer and --decline exclude each other", "give one of them")

    async def work(api: Api) -> QuestionView:
        if decline is not None:
            return await api.answer(question_id, Reply(action="decline", reason=decline))
        whole = _object("--content", content) if content else _filled((await api.question(question_id)), values)
        return await api.answer(question_id, Reply(action="accept", content=whole))

    Output(options).one(row_of(call(options, work), RESULT))
    return Exit.OK


def send(
    to: Annotated[str, Parameter(help="Recipients, separated by commas.")],
    body: Annotated[str, Parameter(help="Text.")],
    *,
    reply_to: Annotated[str | None, Parameter(help="Message or question that this refers to.")] = None,
    options: Options = PLAIN,
) -> int:
    """Send a message; nobody is asked to answer."""
    message = Send(to=tuple(name.strip() for name in to.split(",") if name.strip()), body=body, reply_to=reply_to)
    Output(options).one(row_of(call(options, lambda api: api.send(message))))
    return Exit.OK


# --- reading what was typed -------------------------------------------------------------------------


def _object(name: str, text: str) -> Object:
    """JSON given as text or as ``@path``."""
    try:
        body = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        return msgspec.json.decode(body, type=Object)
    except OSError as error:
        raise usage(f"{name}: {text[1:]}: {error.strerror}", "give the path of a JSON file after @") from None
    except msgspec.DecodeError as error:
        raise usage(f"{name}: not a JSON object: {error}", 'write it like \'{"verdict": "ship"}\'') from None


def _properties(question: QuestionView) -> Mapping[str, Object]:
    return cast("Mapping[str, Object]", question.schema.get("properties", {}))


def _filled(question: QuestionView, values: tuple[str, ...]) -> Object:
    """The content that ``values`` spell, read by the question's schema."""
    properties = _properties(question)
    if len(values) == 1 and len(properties) == 1 and not values[0].startswith(f"{next(iter(properties))}="):
        values = (f"{next(iter(properties))}={values[0]}",)
    content: Object = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or name not in properties:
            raise usage(
                f"{text!r} is not field=value with one of: {', '.join(properties)}", "see: crossfade inbox show"
            )
        content[name] = _typed(properties[name], name, value)
    if not values:
        content = _prompted(question)
    return content


def _typed(schema: Object, name: str, text: str) -> object:
    kind = schema.get("type", "string")
    if kind == "string":
        return text
    if kind == "array":
        return [part.strip() for part in text.split(",") if part.strip()]
    wanted = {"integer": int, "number": float, "boolean": bool}.get(str(kind), object)
    try:
        return msgspec.convert(msgspec.json.decode(text), wanted)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise usage(
            f"{name}: {text!r} is not of type {kind}", f"write it like {_EXAMPLES.get(str(kind), 'JSON')}"
        ) from None


_EXAMPLES: Final = {"integer": "3", "number": "1.5", "boolean": "true"}


def _prompted(question: QuestionView) -> Object:
    """Ask the person at the terminal for each field. Without a terminal: a usage error."""
    properties = _properties(question)
    if not properties:
        return {}
    if not sys.stdin.isatty():
        fields = " ".join(f"{name}=…" for name in properties)
        raise usage("no answer was given", f"crossfade answer {question.question_id} {fields}")
    print(f"{question.asker}: {question.message}", file=sys.stderr)
    required = cast("list[str]", question.schema.get("required", []))
    content: Object = {}
    for name, schema in properties.items():
        choices = f" ({', '.join(map(str, cast('list[object]', schema['enum'])))})" if "enum" in schema else ""
        print(f"{name}{choices}{'' if name in required else ' [optional]'}: ", end="", file=sys.stderr, flush=True)
        text = sys.stdin.readline().strip()
        if text:
            content[name] = _typed(schema, name, text)
    if not content:
        raise CommandError("usage", "nothing was entered", "answer at least one field, or use --decline", Exit.USAGE)
    return content
