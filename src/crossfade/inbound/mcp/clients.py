"""What is known about client programs, by the name they give themselves in ``clientInfo``.

For display and quirks, never for authority: anybody can send any name. An unknown client gets the
careful treatment.
"""

from typing import Final

_FACING_PEOPLE: Final = (
    "claude-code", "claude code", "claude-ai", "claude desktop", "cursor", "visual studio code", "vscode", "code - oss",
    "codex", "copilot", "github-copilot", "windsurf", "zed", "goose", "gemini-cli", "mcp-inspector", "jetbrains",
)  # fmt: skip
"""Beginnings of the names of clients that show questions to a person."""


def faces_person(client: str) -> bool:
    """Whether the client shows dialogs to somebody, so that a decline within a blink is a machine's."""
    return client.strip().casefold().startswith(_FACING_PEOPLE)
