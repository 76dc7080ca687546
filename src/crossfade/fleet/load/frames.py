"""The bytes that simulated agents send, and what they read of the replies. MCP 2026-07-28 and three routes of ``/v1``.

Not a client library: only the calls that the load makes, with as little work for each as they allow.
"""

from typing import Final

import msgspec

REVISION: Final = "2026-07-28"
SHAPE: Final = {
    "type": "object",
    "properties": {"ok": {"type": "boolean", "title": "Agreed"}, "note": {"type": "string", "title": "Note"}},
    "required": ["ok", "note"],
}
DEADLINE_SECONDS: Final = 900
CAPABLE: Final = b'{"elicitation":{"form":{}}}'
_ENCODE: Final = msgspec.json.Encoder().encode
_SHAPE: Final = _ENCODE(SHAPE)


class Shape(msgspec.Struct, frozen=True):
    """What an agent reads of a question."""

    question_id: str
    status: str = ""
    content: msgspec.Raw = msgspec.Raw(b"null")
    lane: str = ""
    asker: str = msgspec.field(default="", name="from")


class Item(msgspec.Struct, frozen=True):
    """What an agent reads of an item of its mailbox."""

    sequence: int
    kind: str
    sender: str = msgspec.field(default="", name="from")
    question: Shape | None = None


class Taken(msgspec.Struct, frozen=True):
    """What became of a question answered natively."""

    question_id: str
    status: str
    note: str = ""


class _Refused(msgspec.Struct, frozen=True):
    code: str = "unknown"
    message: str = ""


class Content(msgspec.Struct, frozen=True):
    """``structuredContent`` of any of the calls made here."""

    messages: tuple[Item, ...] = ()
    elicited: tuple[Taken, ...] = ()
    cursor: int = 0
    lane: str = ""
    question_id: str = ""
    status: str = ""
    content: msgspec.Raw = msgspec.Raw(b"null")
    error: _Refused = _Refused()


class Result(msgspec.Struct, frozen=True, rename="camel"):
    """Result of a tool call."""

    result_type: str = "complete"
    structured_content: Content = Content()
    is_error: bool = False
    input_requests: dict[str, msgspec.Raw] = {}
    request_state: str = ""


class Message(msgspec.Struct, frozen=True):
    """A reply of the endpoint."""

    result: Result | None = None
    error: msgspec.Raw | None = None


class Issued(msgspec.Struct, frozen=True):
    """What is read of a new token."""

    token: str


class Arrived(msgspec.Struct, frozen=True):
    """What is read of the greeting of a stream."""

    lane: str = ""
    cursor: int = 0


MESSAGE: Final = msgspec.json.Decoder(Message)
QUESTION: Final = msgspec.json.Decoder(Shape)
GREETING: Final = msgspec.json.Decoder(Arrived)


class Caller:
    """The frames of one identity."""

    __slots__ = ("_host", "_meta", "_token", "name")

    def __init__(self, name: str, token: str, host: str, *, capable: bool) -> None:
        """``host``: value of the Host header; ``capable``: declares form elicitation."""
        self.name = name
        self._token = token.encode()
        self._host = host.encode()
        self._meta = CAPABLE if capable else b"{}"

    def tool(self, tool: bytes, arguments: bytes, more: bytes = b"") -> bytes:
        """A tool call; ``more`` are further members of ``params``."""
        body = (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%b","arguments":%b%b,"_meta":{'
            b'"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":'
            b'{"name":"crossfade-load","version":"1"},"io.modelcontextprotocol/clientCapabilities":%b}}}'
        ) % (tool, arguments, more, self._meta)
        return (
            b"POST /mcp HTTP/1.1\r\nHost: %b\r\nAuthorization: Bearer %b\r\nContent-Type: application/json\r\n"
            b"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
            b"Mcp-Method: tools/call\r\nMcp-Name: %b\r\nContent-Length: %d\r\n\r\n%b"
        ) % (self._host, self._token, tool, len(body), body)

    def plain(self, method: bytes, path: bytes, body: bytes = b"", header: bytes = b"") -> bytes:
        """A request of the HTTP API; ``header`` are further lines, each ended."""
        return (
            b"%b %b HTTP/1.1\r\nHost: %b\r\nAuthorization: Bearer %b\r\nContent-Type: application/json\r\n%b"
            b"Content-Length: %d\r\n\r\n%b"
        ) % (method, path, self._host, self._token, header, len(body), body)

    def ask(self, to: str, message: bytes, key: str, wait_seconds: int) -> bytes:
        """``ask``; ``message`` is a JSON string."""
        arguments = b'{"to":"%b","message":%b,"schema":%b,"deadline_seconds":%d,"wait_seconds":%d,"key":"%b"}' % (
            to.encode(), message, _SHAPE, DEADLINE_SECONDS, wait_seconds, key.encode(),
        )  # fmt: skip
        return self.tool(b"ask", arguments)

    def look(self, question_id: str, wait_seconds: int) -> bytes:
        """``question``: wait for the end of a question of one's own."""
        arguments = b'{"question_id":"%b","wait_seconds":%d}' % (question_id.encode(), wait_seconds)
        return self.tool(b"question", arguments)

    def answer(self, question_id: str, content: bytes, key: str) -> bytes:
        """``answer``, accepting with ``content``."""
        arguments = b'{"question_id":"%b","action":"accept","content":%b,"key":"%b"}' % (
            question_id.encode(), content, key.encode(),
        )  # fmt: skip
        return self.tool(b"answer", arguments)

    def stream(self, after: int) -> bytes:
        """Open the event stream; ``after``: the last sequence seen, 0 for none."""
        last = b"Last-Event-ID: 1-%d\r\n" % after if after else b""
        return self.plain(b"GET", b"/v1/stream", header=b"Accept: text/event-stream\r\n" + last)

    def acknowledge(self, through: int) -> bytes:
        """Say how far the stream was read."""
        return self.plain(b"POST", b"/v1/inbox/acknowledge", b'{"through":%d}' % through)
