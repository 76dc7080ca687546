"""The tools that the official conformance suite expects of a server, on our transport code.

Never part of the product. Each does what the suite's description of it says; texts and names are the
suite's. Two sampling fixtures are here although the product never samples: they prove that the transport
carries any input request.
"""

import asyncio
import base64
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from crossfade.inbound.mcp import wire
from crossfade.inbound.mcp.seam import (
    FORM,
    Complete,
    Context,
    Fault,
    InputRequest,
    InputRequired,
    Outcome,
    Peer,
    Plan,
    Raw,
    Reply,
    Settled,
    complete,
)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SILENCE = base64.b64encode(
    b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
    b"\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x00\x00\x00\x00"
).decode()
TEXT = {"type": "text"}
IMAGE = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
STRING = {"type": "string"}
NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}

Content = list[dict[str, Any]]


def text(words: str) -> Content:
    return [{**TEXT, "text": words}]


def resource(uri: str, kind: str, words: str) -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": words}}


STATIC: dict[str, Content] = {
    "test_simple_text": text("This is a simple text response for testing."),
    "test_image_content": [IMAGE],
    "test_audio_content": [{"type": "audio", "data": SILENCE, "mimeType": "audio/wav"}],
    "test_embedded_resource": [
        resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ],
    "test_multiple_content_types": [
        *text("Multiple content types test:"),
        IMAGE,
        resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
    "json_schema_2020_12_tool": text("accepted"),
    "test_logging_tool": text("Nothing was logged."),
}
"""Tools that say the same whatever happens."""

DIALECT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": STRING, "city": STRING}}},
    "properties": {
        "name": STRING,
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": STRING,
        "email": STRING,
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
DEFAULTS = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}


def _titled(*titles: str) -> list[dict[str, str]]:
    return [{"const": f"value{number}", "title": title} for number, title in enumerate(titles, 1)]


_OPTIONS = {"type": "string", "enum": ["option1", "option2", "option3"]}
ENUMS = {
    "untitledSingle": _OPTIONS,
    "titledSingle": {"type": "string", "oneOf": _titled("First Option", "Second Option", "Third Option")},
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {"type": "array", "items": _OPTIONS},
    "titledMulti": {"type": "array", "items": {"anyOf": _titled("First Choice", "Second Choice", "Third Choice")}},
}


def form(message: str, properties: Mapping[str, Any], *required: str) -> InputRequest:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    params = {"mode": "form", "message": message, "requestedSchema": schema}
    return InputRequest("elicitation/create", Raw(json.dumps(params).encode()))


def sample(prompt: str, tokens: int) -> InputRequest:
    params = {"messages": [{"role": "user", "content": {**TEXT, "text": prompt}}], "maxTokens": tokens}
    return InputRequest("sampling/createMessage", Raw(json.dumps(params).encode()))


NAME = form("What is your name?", {"name": STRING}, "name")
CONFIRM = form("Please confirm", {"ok": {"type": "boolean"}}, "ok")
ROOTS = InputRequest("roots/list", Raw(b"{}"))
ROUNDS: dict[str, list[dict[str, InputRequest]]] = {
    "test_input_required_result_elicitation": [{"user_name": NAME}],
    "test_input_required_result_sampling": [{"capital_question": sample("What is the capital of France?", 100)}],
    "test_input_required_result_list_roots": [{"client_roots": ROOTS}],
    "test_input_required_result_request_state": [{"confirm": CONFIRM}],
    "test_input_required_result_multiple_inputs": [
        {"user_name": NAME, "greeting": sample("Generate a greeting", 50), "client_roots": ROOTS}
    ],
    "test_input_required_result_multi_round": [
        {"step1": form("Step 1: What is your name?", {"name": STRING}, "name")},
        {"step2": form("Step 2: What is your favorite color?", {"color": STRING}, "color")},
    ],
    "test_input_required_result_tampered_state": [{"confirm": CONFIRM}],
    "test_input_required_result_capabilities": [{"user_name": NAME, "greeting": sample("Generate a greeting", 50)}],
    "test_streaming_elicitation": [{"user_name": NAME}],
    "test_elicitation_sep1034_defaults": [{"form": form("Please review", DEFAULTS)}],
    "test_elicitation_sep1330_enums": [{"form": form("Please choose", ENUMS)}],
    "test_elicitation": [{}],
    "test_sampling": [{}],
}
"""Tools that ask, and what they ask for in each round; the two empty ones ask with their argument."""

MOVING = ("test_tool_with_logging", "test_tool_with_progress")
OTHERS = ("test_error_handling", "test_missing_capability")


class Fixtures:
    """``seam.ToolSet`` with the suite's tools."""

    instructions = "Fixtures of the conformance suite."
    needs_state = False

    def listed(self) -> bytes:
        names = [*STATIC, *ROUNDS, *MOVING, *OTHERS]
        schemas = {
            "json_schema_2020_12_tool": DIALECT,
            "test_elicitation": {"type": "object", "properties": {"message": STRING}, "required": ["message"]},
            "test_sampling": {"type": "object", "properties": {"prompt": STRING}, "required": ["prompt"]},
        }
        return msgspec.json.encode(
            [{"name": name, "description": name, "inputSchema": schemas.get(name, NO_ARGUMENTS)} for name in names]
        )

    def read(self, body: bytes) -> None:
        """Nothing here is worth a way of its own."""

    def plan(self, tool: str, arguments: Raw) -> Plan | Complete | Fault:
        if tool not in {*STATIC, *ROUNDS, *MOVING, *OTHERS}:
            return Fault(wire.INVALID_PARAMS, f"Unknown tool: {tool}")
        return Plan(tool=tool, arguments=json.loads(bytes(arguments)), holds=tool in MOVING)

    def count(self, plan: Plan, peer: Peer, fault: Exception | None = None) -> None:
        """Nobody counts."""

    async def call(self, plan: Plan, context: Context) -> Outcome:
        if plan.tool in STATIC:
            return _complete(STATIC[plan.tool])
        if plan.tool == "test_error_handling":
            return _complete(text("This tool intentionally returns an error for testing"), is_error=True)
        if plan.tool == "test_missing_capability":
            return _missing(context, "sampling")
        if plan.tool in MOVING:
            return await _move(plan.tool, context)
        return self._round(plan, context, 0)

    async def settle(self, peer: Peer, key: str, reply: Reply) -> Settled:
        return None if reply.result is None else json.loads(bytes(reply.result))

    async def resume(self, plan: Plan, context: Context, state: bytes, settled: Mapping[str, Settled]) -> Outcome:
        number = int(state or b"0")
        said = {key.split("#")[0]: value for key, value in settled.items()}
        if not set(_requests(plan, context, number)) <= set(said):
            return self._round(plan, context, number)
        if number + 1 < len(ROUNDS[plan.tool]):
            return self._round(plan, context, number + 1)
        return _complete(text(f"{plan.tool}: state-ok {json.dumps(said)}"))

    async def overtaken(self, peer: Peer, key: str) -> None:
        await asyncio.get_running_loop().create_future()

    def abandon(self, peer: Peer, keys: Sequence[str]) -> None:
        """Nobody else is asked."""

    def _round(self, plan: Plan, context: Context, number: int) -> Outcome:
        requests = _requests(plan, context, number)
        if not requests:
            return _missing(context, "elicitation")
        if context.peer.revision in wire.HANDSHAKE:
            requests = {f"{name}#{uuid.uuid4()}": request for name, request in requests.items()}
        return InputRequired(requests=requests, state=str(number).encode())


def _requests(plan: Plan, context: Context, number: int) -> dict[str, InputRequest]:
    given = plan.arguments
    assert isinstance(given, dict)
    asked = ROUNDS[plan.tool][number]
    if plan.tool == "test_elicitation":
        fields = {
            "username": {**STRING, "description": "User's response"},
            "email": {**STRING, "description": "User's email address"},
        }
        asked = {"user": form(given["message"], fields, "username", "email")}
    if plan.tool == "test_sampling":
        asked = {"model": sample(given["prompt"], 100)}
    needs = {"elicitation/create": FORM, "sampling/createMessage": "sampling", "roots/list": "roots"}
    declared = context.peer.capabilities
    return {name: request for name, request in asked.items() if needs[request.method] in declared}


def _complete(content: Content, *, is_error: bool = False) -> Complete:
    return complete(msgspec.json.encode(content), is_error=is_error)


def _missing(context: Context, capability: str) -> Outcome:
    if capability in context.peer.capabilities:
        return _complete(text("The capability is there."))
    return Fault(wire.MISSING_CAPABILITY, "The client lacks a capability.", {"requiredCapabilities": {capability: {}}})


async def _move(tool: str, context: Context) -> Outcome:
    steps: Sequence[Callable[[], None]] = [lambda done=done: context.progress(done, 100) for done in (0, 50, 100)]  # type: ignore[misc]
    if tool == "test_tool_with_logging":
        lines = ("Tool execution started", "Tool processing data", "Tool execution completed")
        steps = [
            lambda line=line: context.notify("notifications/message", {"level": "info", "data": line})  # type: ignore[misc]
            for line in lines
        ]
    for step in steps:
        step()
        await asyncio.sleep(0.05)
    return _complete(text("done"))
