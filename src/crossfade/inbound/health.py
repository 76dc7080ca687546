"""Liveness and readiness.

/livez says that the process answers. /readyz says that the hub can do its work: the replay has finished
and the log takes writes. It reads what the hub found out by writing, not a constant.

Source: the convention of Kubernetes' API server, which names each check.
"""

from typing import Final

import msgspec

from crossfade.engine.hub import Hub
from crossfade.inbound import errors
from crossfade.inbound.asgi import Receive, Scope, Send, Streams, json_response

NO_STORE: Final = ((b"cache-control", b"no-store"),)


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """What /readyz answers."""

    ready: bool
    checks: dict[str, bool]
    reason: str = ""
    """Why the hub is not ready, if it knows; missing when it is."""


class Health:
    """GET /livez and GET /readyz."""

    def __init__(self, hub: Hub, streams: Streams) -> None:
        self._hub = hub
        self._streams = streams

    async def live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """200: the process answers."""
        await json_response(send, 200, b'{"live":true}', NO_STORE)

    async def ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        """200 if the hub can take work, else 503; each check by name."""
        checks = {"log": self._hub.ready, "serving": not self._streams.draining}
        ready = all(checks.values())
        reason = "" if self._hub.ready else self._hub.read_only or self._hub.keeping.reason
        body = msgspec.json.encode(Readiness(ready, checks, reason))
        headers = NO_STORE if ready else (*NO_STORE, *errors.headers_of(503))
        await json_response(send, 200 if ready else 503, body, headers)
