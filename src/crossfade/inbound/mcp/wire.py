"""JSON-RPC and MCP messages as they are on the wire, decoded strictly and typed, encoded once.

Not here: what a message means (``handshake``, ``envelope``) or who sent it. Everything a client may
send to any revision is one typed decode; what does not fit becomes a ``ProtocolError``.

Sources: JSON-RPC 2.0; MCP 2025-06-18, 2025-11-25, 2026-07-28 (schema.ts, "Base protocol").
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal

import msgspec

from crossfade.inbound.mcp import strict

Raw = msgspec.Raw
UNSET = msgspec.UNSET
Unset = msgspec.UnsetType

LATEST_HANDSHAKE: Final = "2025-11-25"
HANDSHAKE: Final = ("2025-03-26", "2025-06-18", LATEST_HANDSHAKE)
"""Revisions that begin with ``initialize``."""
ENVELOPE: Final = ("2026-07-28",)
"""Revisions in which every request says all about itself."""
ELICITING: Final = frozenset({"2025-06-18", LATEST_HANDSHAKE, *ENVELOPE})

CAPABILITIES: Final = frozenset({"elicitation.form", "elicitation.url", "sampling", "roots"})
"""What a client may declare that means anything to a tool; the rest is not remembered."""
KEPT_MAX: Final = 256
KEPT_BYTES: Final = 512
"""Declarations kept as they were read, and how long one may be for that."""
SHOWN_MAX: Final = 64
"""Characters of what a client sent that an error shows."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022


class ProtocolError(Exception):
    """A message that breaks the protocol, with the HTTP status and JSON-RPC error it is answered with."""

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        data: Mapping[str, object] | None = None,
        *,
        request_id: Raw | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.data = data
        self.request_id = request_id
        self.headers: Sequence[tuple[bytes, bytes]] = ()
        """HTTP headers of the answer, after type and length."""


def fault(status: int, number: int, code: str, message: str, hint: str) -> ProtocolError:
    """A ProtocolError whose data has our stable ``code`` and what to do next."""
    return ProtocolError(status, number, message, {"code": code, "try": hint})


class ClientInfo(msgspec.Struct, frozen=True, gc=False):
    name: str = ""
    version: str = ""


class Meta(msgspec.Struct, frozen=True, gc=False):
    """The ``_meta`` of a request."""

    progress_token: int | str | None = msgspec.field(name="progressToken", default=None)
    revision: Raw | Unset = msgspec.field(name="io.modelcontextprotocol/protocolVersion", default=UNSET)
    capabilities: Raw | Unset = msgspec.field(name="io.modelcontextprotocol/clientCapabilities", default=UNSET)
    client: ClientInfo | None = msgspec.field(name="io.modelcontextprotocol/clientInfo", default=None)


class Params(msgspec.Struct, frozen=True, gc=False):
    """Every parameter that any method we serve has."""

    meta: Meta | Unset = msgspec.field(name="_meta", default=UNSET)
    name: str | Unset = UNSET
    arguments: Raw = Raw(b"{}")
    input_responses: dict[str, Raw] | Unset = msgspec.field(name="inputResponses", default=UNSET)
    request_state: str | Unset = msgspec.field(name="requestState", default=UNSET)
    protocol_version: str = msgspec.field(name="protocolVersion", default="")
    capabilities: Raw = Raw(b"{}")
    client: ClientInfo = msgspec.field(name="clientInfo", default=ClientInfo())
    request_id: int | str | Unset = msgspec.field(name="requestId", default=UNSET)
    cursor: str | Unset = UNSET


class Message(msgspec.Struct, frozen=True, gc=False):
    """A request (method, id), a notification (method), or a response (id, result or error)."""

    jsonrpc: Literal["2.0"]
    method: str | Unset = UNSET
    id: int | str | Unset = UNSET
    params: Params = Params()
    result: Raw | Unset = UNSET
    error: Raw | Unset = UNSET


class _Named(msgspec.Struct):
    id: int | str | Unset = UNSET


_MESSAGE: Final = msgspec.json.Decoder(Message)
_NAMED: Final = msgspec.json.Decoder(_Named)
encode: Final = msgspec.json.Encoder().encode
"""A value as compact JSON."""
NULL: Final = Raw(b"null")


def decode(body: bytes) -> Message:
    """Read one message. Raises ProtocolError with the id of the message, if that much can be read."""
    try:
        strict.check(body)
    except strict.TooDeepError:
        raise fault(
            400, INVALID_REQUEST, "json.too_deep", "The body is nested too deep.", "Nest at most 64 levels."
        ) from None
    except strict.DuplicateKeyError:
        raise fault(
            400, INVALID_REQUEST, "json.duplicate_key", "An object in the body has a key twice.", "Send each key once."
        ) from None
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise fault(
            400, PARSE_ERROR, "json.invalid", "The body is not JSON in UTF-8.", "Send one JSON-RPC message."
        ) from None
    try:
        message = _MESSAGE.decode(body)
    except msgspec.ValidationError as wrong:
        raise _misshapen(body, str(wrong)) from None
    if message.method is UNSET and (message.id is UNSET or (message.result is UNSET and message.error is UNSET)):
        raise _misshapen(body, "it is no request, notification or response")
    return message


def _misshapen(body: bytes, reason: str) -> ProtocolError:
    """Wrong params are the fault of params; anything else is no JSON-RPC message of ours."""
    in_params = "$.params" in reason
    if body.lstrip()[:1] == b"[":
        reason = "batches are not supported; send one message"
    error = fault(
        400,
        INVALID_PARAMS if in_params else INVALID_REQUEST,
        "params.invalid" if in_params else "jsonrpc.invalid",
        f"This is not a message we understand: {reason}.",
        "Send one JSON-RPC 2.0 message of MCP.",
    )
    try:
        named = _NAMED.decode(body).id
    except msgspec.ValidationError:
        named = UNSET
    error.request_id = None if named is UNSET else encode_id(named)
    return error


def is_object(value: Raw) -> bool:
    """Whether a decoded-later value is a JSON object."""
    return bytes(value)[:1] == b"{"


def encode_id(request_id: int | str) -> Raw:
    """A request id as it stands in a response."""
    return Raw(encode(request_id))


def result(request_id: Raw, encoded: bytes) -> bytes:
    """A response that carries ``encoded``, a JSON object."""
    return b'{"jsonrpc":"2.0","id":' + bytes(request_id) + b',"result":' + encoded + b"}"


def error(request_id: Raw | None, code: int, message: str, data: Mapping[str, object] | None = None) -> bytes:
    """An error response; the id is null if it could not be read."""
    body: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        body["data"] = data
    return b'{"jsonrpc":"2.0","id":' + bytes(request_id or NULL) + b',"error":' + encode(body) + b"}"


def notification(method: str, params: Mapping[str, object]) -> bytes:
    """A notification."""
    return encode({"jsonrpc": "2.0", "method": method, "params": params})


def request(key: str, method: str, params: Raw) -> bytes:
    """A request from us to the client; its id is ``key``."""
    return encode({"jsonrpc": "2.0", "id": key, "method": method, "params": params})


def capabilities(declared: Raw | Unset) -> frozenset[str]:
    """What a client declared of CAPABILITIES, dotted: ``elicitation.form`` also for a bare ``elicitation: {}``.

    Raises ProtocolError if it is not an object of objects.
    """
    if isinstance(declared, Unset):
        return frozenset()
    text = bytes(declared)
    return _kept_capabilities(text) if len(text) <= KEPT_BYTES else _capabilities(text)


def _capabilities(declared: bytes) -> frozenset[str]:
    try:
        named = msgspec.json.decode(declared, type=dict[str, object])
    except msgspec.ValidationError:
        raise fault(
            400, INVALID_PARAMS, "params.invalid", "Capabilities must be an object.", "Send {} if there are none."
        ) from None
    found = set(named)
    for name, details in named.items():
        if isinstance(details, dict):
            found |= {f"{name}.{part}" for part in details}
    if "elicitation" in found and "elicitation.url" not in found:
        found.add("elicitation.form")
    return frozenset(found & CAPABILITIES)


_kept_capabilities = lru_cache(maxsize=KEPT_MAX)(_capabilities)
