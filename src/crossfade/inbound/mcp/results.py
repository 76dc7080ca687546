"""What an outcome looks like in each era: the ``result`` of ``tools/call``, the lists, who we are."""

from typing import Final

import msgspec

from crossfade.inbound.mcp import wire
from crossfade.inbound.mcp.seam import Complete, Fault, InputRequest
from crossfade.inbound.mcp.settings import SERVER_NAME

UNSET = msgspec.UNSET
TITLE: Final = "Crossfade hub"


class InputRequiredResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Instead of a result: what the client is to come back with."""

    result_type: str = "input_required"
    input_requests: dict[str, InputRequest]
    request_state: str | msgspec.UnsetType = UNSET
    meta: msgspec.Raw = msgspec.field(name="_meta")


class Answers:
    """Answers that never change, encoded once, and the two that are encoded for each call."""

    def __init__(self, version: str, instructions: str) -> None:
        server = {"name": SERVER_NAME, "title": TITLE, "version": version}
        self._server = msgspec.Raw(wire.encode(server))
        self._meta = msgspec.Raw(wire.encode({"io.modelcontextprotocol/serverInfo": server}))
        self._end_of_result = b',"_meta":' + bytes(self._meta) + b"}}"
        self._instructions = {"instructions": instructions} if instructions else {}
        self.discover: Final = wire.encode(
            {
                "resultType": "complete",
                "supportedVersions": list(wire.ENVELOPE),
                "capabilities": {"tools": {}},
                "ttlMs": 3_600_000,
                "cacheScope": "public",
                "_meta": self._meta,
                **self._instructions,
            }
        )

    def initialize(self, revision: str) -> bytes:
        """The result of ``initialize``."""
        return wire.encode(
            {
                "protocolVersion": revision,
                "capabilities": {"tools": {}},
                "serverInfo": self._server,
                **self._instructions,
            }
        )

    def tools_before_2026(self, listed: bytes) -> bytes:
        """The result of ``tools/list`` on 2025 revisions."""
        return b'{"tools":' + listed + b"}"

    def tools(self, listed: bytes) -> bytes:
        """The result of ``tools/list`` on 2026-07-28; cached briefly, for the list changes when polling ends."""
        return (
            b'{"resultType":"complete","tools":' + listed + b',"ttlMs":300000,"cacheScope":"private","_meta":'
            + bytes(self._meta) + b"}"
        )  # fmt: skip

    def call(self, request_id: bytes, outcome: Complete) -> bytes:
        """The response to ``tools/call`` on 2026-07-28."""
        return b'{"jsonrpc":"2.0","id":%b,"result":{"resultType":"complete",%b%b' % (
            request_id, outcome.told, self._end_of_result,
        )  # fmt: skip

    def input_required(self, requests: dict[str, InputRequest], state: str | None) -> bytes:
        """The ``input_required`` result of ``tools/call`` on 2026-07-28."""
        sealed = UNSET if state is None else state
        return wire.encode(InputRequiredResult(input_requests=requests, request_state=sealed, meta=self._meta))


def fault(request_id: bytes, outcome: Fault) -> bytes:
    """The error response for a fault."""
    return wire.error(msgspec.Raw(request_id), outcome.code, outcome.message, outcome.data)
