"""The judge of MCP messages sees a result that does not fit what its tool promises."""

import json
from typing import Any

import pytest

from crossfade.inbound.mcp import catalogue
from tests.kit.mcp import STATELESS, Judge

AGENTS = {"agents": []}
TOOLS = [tool["name"] for tool in json.loads(catalogue.encoded(polling=True))]


def judged(tool: str, **result: Any) -> list[str]:
    """What the judge finds wrong with a result of a tool."""
    judge = Judge(None)  # type: ignore[arg-type]
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}}
    whole = {"resultType": "complete", "content": [{"type": "text", "text": "x"}], **result}
    answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": whole}).encode()
    head = {"status": 200, "headers": {b"content-type": b"application/json"}}
    judge._judge({b"mcp-protocol-version": STATELESS.encode()}, json.dumps(request).encode(), head, answer)
    return judge.faults


def test_a_result_that_fits_is_no_fault() -> None:
    assert judged("agents", structuredContent=AGENTS) == []


@pytest.mark.parametrize("tool", TOOLS)
def test_a_result_that_does_not_fit_its_output_schema_is_a_fault(tool: str) -> None:
    [fault] = judged(tool, structuredContent={"question_id": 7, "messages": 7, "message_id": 7, "agents": 7})
    assert "7 is not of type" in fault


def test_a_result_without_structured_content_is_a_fault_unless_it_is_an_error() -> None:
    [fault] = judged("agents")
    assert fault.endswith("agents is silent")
    assert judged("agents", isError=True) == []
