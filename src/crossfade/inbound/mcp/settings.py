"""Bounds and waiting times of the MCP endpoint, each with its unit."""

from typing import Final

import msgspec

from crossfade.inbound.auth import Door

SERVER_NAME: Final = "crossfade"


class McpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint keeps to."""

    version: str = "0.1.0"
    """Ours, told to clients as ``serverInfo``."""
    door: Door = Door()
    body_bytes: int = 1_048_576
    """Beyond: 413."""
    reply_seconds: float = 55.0
    """On 2025 revisions: from the start of a call until it stops waiting for its elicitations."""
    reply_patient_seconds: float = 240.0
    """The same for a client that shows dialogs to a person or asked for progress."""
    hold_after_seconds: float = 0.25
    """A waiting call that is not done by then gets its headers, and is a stream from then on."""
    progress_seconds: float = 20.0
    """Between progress notifications on a held call, if the client asked for them."""
    session_seconds: int = 30 * 86_400
    state_seconds: int = 86_400
    """How long a client may take to come back with what it was asked for (2026-07-28)."""
    retry_after_seconds: int = 1
