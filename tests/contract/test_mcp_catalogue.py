"""What every connected model has to read: the eight tools, and what they may cost."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs

from crossfade.inbound.mcp import arguments, catalogue
from crossfade.inbound.mcp.clients import faces_person

ROOT = Path(__file__).resolve().parents[2]
TOKENS_MAX = 2_500
CHARACTERS_PER_TOKEN = 3.5
"""A published tokenizer of a large model counts 4.2 characters of this text to a token; this is the careful side."""
NAMES = ["ask", "question", "attend", "inbox", "answer", "send", "agents", "wait_for_messages"]


def tools() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(catalogue.encoded(polling=True))
    return found


def test_the_eight_tools_come_in_one_order_and_polling_can_go() -> None:
    assert [tool["name"] for tool in tools()] == NAMES
    assert [tool["name"] for tool in json.loads(catalogue.encoded(polling=False))] == NAMES[:-1]


def test_all_schemas_together_keep_to_their_budget() -> None:
    assert len(catalogue.encoded(polling=True)) / CHARACTERS_PER_TOKEN <= TOKENS_MAX


def test_every_tool_has_an_input_and_an_output_schema_that_are_json_schema() -> None:
    for tool in tools():
        jsonschema_rs.meta.validate(tool["inputSchema"])
        jsonschema_rs.meta.validate(tool["outputSchema"])
        assert tool["description"].endswith(".")
        assert tool["annotations"]["openWorldHint"] is False


def test_the_schemas_name_exactly_the_arguments_that_are_understood() -> None:
    kinds = (
        arguments.Ask,
        arguments.Question,
        arguments.Attend,
        arguments.Inbox,
        arguments.Answer,
        arguments.Send,
        arguments.Agents,
        arguments.WaitForMessages,
    )
    for tool, kind in zip(tools(), kinds, strict=True):
        assert sorted(tool["inputSchema"]["properties"]) == sorted(kind.__struct_fields__), tool["name"]


def test_a_refusal_fits_every_output_schema_because_some_clients_check_it() -> None:
    for tool in tools():
        error = {"error": {"code": "x.y", "message": "m", "try": "t"}}
        assert jsonschema_rs.is_valid(tool["outputSchema"], error)


def test_clients_that_show_dialogs_are_known_by_name_whatever_its_case() -> None:
    assert all(faces_person(name) for name in ("claude-code", "Cursor", "Visual Studio Code", "codex-mcp-client"))
    assert not any(faces_person(name) for name in ("", "mcp", "my-agent", "precursor"))


def test_the_reference_names_every_tool_and_every_code_of_a_protocol_error() -> None:
    page = (ROOT / "docs" / "reference" / "mcp.md").read_text()
    source = "".join(path.read_text() for path in (ROOT / "src" / "crossfade" / "inbound" / "mcp").glob("*.py"))
    codes = set(re.findall(r'fault\(\s*\w+,\s*wire\.\w+,\s*"([a-z_]+\.[a-z_]+)"', source))
    codes |= set(re.findall(r'fault\(\s*\w+,\s*[A-Z_]+,\s*"([a-z_]+\.[a-z_]+)"', source))
    codes |= set(re.findall(r'"code": "([a-z_]+\.[a-z_]+)"', source))
    assert len(codes) >= 15
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []
    assert [name for name in NAMES if f"`{name}`" not in page] == []
