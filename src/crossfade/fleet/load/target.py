"""The hub that a run loads: one of its own on a scratch folder, or one that is there; and its lanes.

Rules
-----
1. A hub of its own never outlives the run, and is not started again if it dies: that is a finding.
2. A hub that is there keeps its rollout; agents go on the lane that it gives their clusters.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from crossfade.core.cohorts import lane_of
from crossfade.core.values import Lane
from crossfade.fleet.load.bulk import EnlistError, NobodyThereError, Operator
from crossfade.fleet.load.line import Place
from crossfade.fleet.load.profile import ProfileError
from crossfade.fleet.load.vitals import Vitals, listener, vitals
from crossfade.fleet.supervisor import HOST, HubProcess

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
THERE_SECONDS: Final = 10.0
BOUND: Final = "crossfade.fleet.load.bound"


class _Rollout(msgspec.Struct, frozen=True):
    salt: str = ""
    threshold: float = 0.0
    status: str = "polling"


class Target:
    """A hub that answers."""

    def __init__(self, url: str, token: str, own: HubProcess | None = None) -> None:
        place = urlsplit(url)
        self.url = url
        self.authority = place.netloc
        self.host = place.hostname or HOST
        self.port = place.port or 80
        self.own = own
        self.pid = own.pid if own is not None else self._local()
        self.operator = Operator(Place(self.host, self.port, ()), self.authority, token)

    def _local(self) -> int:
        return (listener(self.port) or 0) if self.host in LOOPBACK else 0

    def vitals(self) -> Vitals | None:
        """What the hub uses; None if it is not on this machine, or gone. One that was started again is found again."""
        found = vitals(self.pid) if self.pid else None
        if found is None and self.own is None:
            self.pid = self._local()
            found = vitals(self.pid) if self.pid else None
        return found

    async def failed(self) -> None:
        """Return never; raises HubFailedError when a hub of our own dies."""
        if self.own is not None:
            await self.own.failed()
        await asyncio.get_running_loop().create_future()

    async def elicited(self, clusters: Sequence[str], share: float) -> tuple[int, ...]:
        """The clusters, by number, that are on the elicitation lane. Raises EnlistError.

        On a hub of our own a rollout is begun and put to ``share`` of the weight.
        """
        if self.own is not None and share > 0:
            await self.operator.call(b"POST", b"/v1/rollout/start", {"name": "load", "salt": "load"})
            await self.operator.call(b"POST", b"/v1/rollout/set", {"share": share, "reason": "load"})
        said = await self.operator.call(b"GET", b"/v1/rollout")
        rollout = msgspec.json.decode(said, type=_Rollout)
        return tuple(
            number
            for number, name in enumerate(clusters)
            if lane_of(rollout.salt, rollout.threshold, name) is Lane.ELICITATION
        )


async def resolved(url: str) -> str:
    """``url`` with an address instead of a name. Raises ProfileError."""
    no_url = ProfileError(f"{url!r} is not an http:// URL", "give --url http://HOST:PORT, behind whatever ends TLS")
    try:
        place = urlsplit(url)
        scheme, host, port = place.scheme, place.hostname, place.port or 80  # each may find that it is none
    except ValueError:
        raise no_url from None
    if scheme != "http" or not host:
        raise no_url
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as fault:
        raise ProfileError(f"{host} has no address: {fault}", "check --url") from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])


@asynccontextmanager
async def own_hub(folder: Path, options: tuple[str, ...]) -> AsyncIterator[Target]:
    """A hub as a child process on ``folder``; it is gone afterwards. Raises HubFailedError."""
    hub = HubProcess(folder, options=options, module=BOUND, revive=False)
    try:
        await hub.start()
        yield Target(hub.url, hub.operator_token, hub)
    finally:
        await hub.stop()


async def knock(url: str) -> str:
    """The address at which something listens. Raises ProfileError, NobodyThereError."""
    address = await resolved(url)
    try:
        async with asyncio.timeout(THERE_SECONDS):
            _, door = await asyncio.open_connection(address, urlsplit(url).port or 80)
            door.close()
    except (OSError, TimeoutError) as fault:
        said = os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else "no answer"
        raise NobodyThereError(f"no hub at {url}: {said}") from None
    return address


async def there(url: str, token: str) -> Target:
    """A hub that runs already. Raises ProfileError, EnlistError."""
    address = await knock(url)
    target = Target(url.rstrip("/"), token)
    target.host = address
    target.operator = Operator(Place(address, target.port, ()), target.authority, token)
    try:
        async with asyncio.timeout(THERE_SECONDS):
            await target.operator.call(b"GET", b"/v1/rollout")
    except (TimeoutError, EnlistError) as fault:
        said = str(fault) or f"nothing in {THERE_SECONDS:g} s"
        raise EnlistError(f"the hub at {url} does not answer as one: {said}") from None
    return target
