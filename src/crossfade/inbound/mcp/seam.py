"""The seam between the MCP transport and the tools it carries.

A tool is written once, in the form that 2026-07-28 has: it returns a complete result, or says what it
needs to be told first. 2026-07-28 hands that need to the client, which calls again. On 2025-11-25 and
2025-06-18 the transport asks the client on the open response itself, then resumes the tool. A tool
never sees which.

Not here: JSON-RPC, HTTP, questions. The product's tools are in ``tools``; the conformance suite's
fixture tools are in the tests, on the same transport.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

from crossfade.core.values import Caller
from crossfade.inbound.asgi import Headers

Raw = msgspec.Raw

FORM: Final = "elicitation.form"
"""Capability of a client that shows questions as forms."""

Progress = int | str
"""What a client calls its request when it wants to hear of progress."""


class Peer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who is calling, and what its client said it can do."""

    caller: Caller
    revision: str
    capabilities: frozenset[str] = frozenset()
    """Dotted, as declared: ``elicitation.form``, ``elicitation.url``, ``sampling``, ``roots`` …"""


class InputRequest(msgspec.Struct, frozen=True):
    """One thing that the client is asked for."""

    method: str
    params: Raw
    """JSON object."""


class Complete(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The tool is done."""

    told: bytes
    """The fields of the result that every revision has, as JSON without the braces: see ``complete``."""
    is_error: bool = False


def complete(content: bytes, structured: bytes | None = None, *, is_error: bool = False) -> Complete:
    """The tool is done: ``content`` is a JSON array of content blocks.

    ``structured`` is a JSON object that fits the tool's ``outputSchema``; of an error, what is wrong.
    """
    ending = b"true" if is_error else b"false"
    beside = b"" if structured is None else b',"structuredContent":' + structured
    return Complete(told=b'"content":%b%b,"isError":%b' % (content, beside, ending), is_error=is_error)


class InputRequired(msgspec.Struct, frozen=True, kw_only=True):
    """The tool needs to know more. It is resumed with what was said."""

    requests: Mapping[str, InputRequest]
    """Key → request. On 2025 revisions the key is the JSON-RPC id, so it must be globally unique."""
    state: bytes = b""
    """Handed back to ``resume`` as it is; sealed on its way through the client."""


class Fault(msgspec.Struct, frozen=True):
    """The call breaks the protocol; it is answered with a JSON-RPC error."""

    code: int
    message: str
    data: Mapping[str, object] | None = None
    status: int = 0
    """HTTP status, where it still can be chosen; 0 for the one that goes with the code."""


Outcome = Complete | InputRequired | Fault


class Waiting(Protocol):
    """What a call waits for when nothing runs for it: it tells the call's ``Context`` to ``look_again``."""

    def look(self) -> Outcome | None:
        """What the call comes to now; None if it waits on."""

    def leave(self) -> None:
        """Wait no more, whatever became of it. Again: nothing."""

    def so_far(self) -> Complete:
        """What a call comes to that has to stop."""


class Reply(msgspec.Struct, frozen=True):
    """What a client sent back to an input request."""

    result: Raw | None
    """JSON object; None if the client answered with an error."""


Settled = object
"""What ``settle`` made of a reply; only the tool set that returned it looks inside."""


class Plan(msgspec.Struct, frozen=True, gc=False):
    """A call whose arguments were understood."""

    tool: str
    arguments: object
    holds: bool
    """It may wait, so the response may become a stream."""
    receives: bool = False
    """The tool set has it begun by ``receive`` where it can."""
    headers: Headers = ()
    """HTTP headers that every answer to it carries."""


class Given(msgspec.Struct, frozen=True, gc=False):
    """A whole message that calls a tool, and says nothing else."""

    request_id: int | str
    plan: Plan
    meta: bytes
    """The ``_meta`` of its params as it came, whatever it is; empty without."""


class Context(Protocol):
    """What a running call may use of its transport."""

    peer: Peer
    may_ask: bool
    """``InputRequired`` can reach the client on this response. Whether it has the capability is in ``peer``."""
    asked: int
    """How often this call has asked the client so far, over all rounds."""
    so_far: Callable[[], Complete] | None
    """Set it before waiting: gives what the call is answered with if the server has to stop."""

    @property
    def patient(self) -> bool:
        """The client asked for progress, so it does not give up while it hears of it."""

    def look_again(self) -> None:
        """What the call waits for may be there; to be called in a turn of the loop of its own."""

    def notify(self, method: str, params: Mapping[str, object]) -> None:
        """Send a notification that belongs to this call; dropped if the response is not a stream."""

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Tell the client how far the call is; nothing if it did not ask."""


class ToolSet(Protocol):
    """What the transport carries."""

    instructions: str
    """Told to the client when it connects; empty for nothing."""
    needs_state: bool
    """Replies are accepted only along with the state that the request for them carried."""

    def listed(self) -> bytes:
        """The tools as a JSON array, always in the same order."""

    def read(self, body: bytes) -> Given | None:
        """Understand a whole message at one go; None if that needs a closer look, whatever the reason.

        What is given back is what ``wire.decode`` and ``plan`` would have come to.
        """

    def plan(self, tool: str, arguments: Raw) -> Plan | Complete | Fault:
        """Understand ``arguments`` (a JSON object), or say at once what is wrong with them."""

    def call(self, plan: Plan, context: Context) -> Awaitable[Outcome]:
        """Run the tool. May be cancelled at any point where it waits."""

    def receive(self, plan: Plan, context: Context) -> Outcome | Waiting | None:
        """Begin a tool that receives: what there is at once, or what the call waits for; None: only ``call`` can."""

    def count(self, plan: Plan, peer: Peer, fault: Exception | None = None) -> None:
        """A call came to its outcome, or to a fault; one that was cancelled comes to neither."""

    async def settle(self, peer: Peer, key: str, reply: Reply) -> Settled:
        """Take what the client said to the request called ``key``; durable when this returns.

        May run without the call that asked: it may have ended, or be in another process.
        """

    async def resume(self, plan: Plan, context: Context, state: bytes, settled: Mapping[str, Settled]) -> Outcome:
        """Go on after an ``InputRequired``. Keys may be missing: the client has not answered those yet."""

    async def overtaken(self, peer: Peer, key: str) -> None:
        """Return when the request called ``key`` needs no reply any more; may be cancelled."""

    def abandon(self, peer: Peer, keys: Sequence[str]) -> None:
        """The client is gone before it could answer the requests called ``keys``."""


Interrupt = Literal["gone", "cancelled", "stopping"]
"""Why a held call ends early: the client left, it said so, or the server stops."""
