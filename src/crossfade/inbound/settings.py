"""What the HTTP side needs to be told; config.py fills it."""

import msgspec


class AppSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one application."""

    version: str = "0"
    """Shown on the start page and in the OpenAPI document."""
    public_hosts: frozenset[str] = frozenset()
    """Names, without port, under which the hub may be called besides the loopback names."""
    public_origins: frozenset[str] = frozenset()
    """Origins of web pages that may call it, besides pages on its own names and on loopback."""
    open_loopback: bool = False
    """A development hub: guests named by their client are admitted, and /metrics needs no token."""
    console_token: str = ""
    """With ``open_loopback``: whoever opens the console without signing in is this person."""
    https: bool = False
    """Browsers reach the hub over TLS, so the console's cookie is sent over TLS only."""
    body_bytes_max: int = 1_048_576
    json_depth_max: int = 32
    form_bytes_max: int = 524_288
