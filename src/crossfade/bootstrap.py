"""Bootstrap: the composition root. Config in, running hub out; the only file that chooses adapters.

Order of start: data folder and log (refused if another hub has it), replay, the operator's token, the
listening sockets. Order of end: no new connections, streams and waits let go, writes finished, log closed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from crossfade.config import Config
from crossfade.core.decider import Refusal
from crossfade.core.run_events import Verdict
from crossfade.core.runsheets import Runsheet
from crossfade.core.values import PROGRAMME, SPACE, AgentName, Caller, Kind, Scope
from crossfade.engine.capacity_checks import PLAN_BYTES_MAX, STORED
from crossfade.engine.hub import Hub
from crossfade.engine.plan_views import ReadPlan
from crossfade.engine.ports import Backups, Log, Verifier
from crossfade.engine.run_ports import CheckCall, Finding
from crossfade.engine.run_steps import Work
from crossfade.engine.views.instants import iso
from crossfade.inbound.app import build_app
from crossfade.inbound.asgi import Streams
from crossfade.inbound.auth import Door
from crossfade.inbound.collector import CollectorPolicy
from crossfade.inbound.gate import ConnectionLimits
from crossfade.inbound.mcp.endpoint import Host, McpEndpoint
from crossfade.inbound.mcp.settings import McpSettings
from crossfade.inbound.mcp.tools import HubTools
from crossfade.inbound.server import Server, ServerSettings
from crossfade.inbound.settings import AppSettings
from crossfade.logs.backup import FolderBackups, refuse_unfinished
from crossfade.logs.memory import MemoryLog
from crossfade.logs.sqlite import SqliteLog, open_sqlite
from crossfade.logs.startup import FILE_NAME
from crossfade.logs.tail import first_bad_of_tail
from crossfade.outbound.checkpoints import FolderWitness
from crossfade.outbound.folding import ChildFolding
from crossfade.outbound.host import HostClock, HostIds, seal_key, write_private
from crossfade.outbound.memory import give_back
from crossfade.outbound.signing import PUBLIC_FILE, Ed25519Signer, ephemeral_key, read_public, signing_key
from crossfade.outbound.snapshots import FolderShelf
from crossfade.outbound.steps import HostSteps
from crossfade.outbound.targets import HostTargets
from crossfade.runsheets import Loaded
from crossfade.runsheets.lint import lint
from crossfade.runsheets.plan_files import PlanFile, parse_plan
from crossfade.runsheets.problems import START

OPERATOR: Final = AgentName("operator")
ROOT: Final = Caller(name=AgentName("hub"), kind=Kind.SERVICE, scopes=frozenset(Scope))
"""Acts for the process itself, e.g. when it makes the operator's token."""
KILL_FILE_SECONDS: Final = 0.25
"""How often the kill file is looked for."""

logger = logging.getLogger("crossfade.bootstrap")


class StartError(Exception):
    """The hub cannot start like this. Two lines: what is wrong, and what to do."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


class RunningHub(msgspec.Struct, frozen=True):
    """A hub that accepts connections."""

    hub: Hub
    server: Server
    operator_token: str
    """Scopes of everything; also in the data folder, readable by its owner alone."""

    @property
    def url(self) -> str:
        """Where it is reached on this machine."""
        return self.server.url


@asynccontextmanager
async def opened_hub(config: Config) -> AsyncIterator[Hub]:
    """A started hub that listens to nobody: for what an operator does to a stopped hub's folder.

    Raises LogInUseError if a running hub has the folder, CorruptLogError if its log is damaged.
    """
    log = _open_log(config)
    try:
        signer = _signer(config)
        witness = FolderWitness(config.checkpoint_path, signer, config.data_path)
        hub = Hub(log, HostClock(), HostIds(), config.limits, guests=config.guests, signer=signer)
        if config.log == "sqlite":
            hub.keeping.guard(witness)
            _save_snapshots(hub, config)
            hub.proving.backups = _backups(config, log)
        hub.equip(_work(log))
        await hub.start()
        try:
            yield hub
        finally:
            await hub.stop()
            witness.close()
    finally:
        await log.close()


@asynccontextmanager
async def running_hub(config: Config, *, handle_signals: bool = False) -> AsyncIterator[RunningHub]:
    """A hub that serves until the block ends or, with ``handle_signals``, a signal stops it.

    Raises ListenError for an address that cannot be had, and what ``opened_hub`` raises.
    """
    async with opened_hub(config) as hub:
        _refuse_exposure(config, await hub.tokens(ROOT))
        token = await _operator_token(hub, config)
        server = _server(hub, config, token, handle_signals=handle_signals)
        await server.start()
        watch = asyncio.ensure_future(_watch_kill_file(hub, config.kill_path))
        try:
            yield RunningHub(hub, server, token)
        finally:
            watch.cancel()
            server.stop()
            await server.wait()


async def run_hub(config: Config, *, on_ready: Callable[[RunningHub], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Raises as ``running_hub``."""
    async with running_hub(config, handle_signals=True) as running:
        if on_ready is not None:
            on_ready(running)
        await running.server.wait()


def has_log(config: Config) -> bool:
    """Whether there is anything in the data folder that ``verify_log`` could check."""
    path = config.data_path / FILE_NAME
    return path.is_file() and path.stat().st_size > 0


async def verify_log(config: Config) -> list[tuple[int, int, int | None]]:
    """For each shard of a stopped hub: number, records, first bad sequence (None: all are as written).

    Raises LogInUseError if a running hub has the folder, CorruptLogError if already its ends are false.
    """
    log = open_sqlite(config.data_path)
    try:
        return [(shard, (await log.head(shard)).sequence, await log.verify(shard)) for shard in (PROGRAMME, SPACE)]
    finally:
        await log.close()


def write_kill_file(config: Config, reason: str) -> str:
    """The kill switch for when no hub answers; returns when it was thrown. Raises OSError."""
    at = iso(HostClock().now())
    write_private(config.kill_path, msgspec.json.encode({"reason": reason, "at": at}) + b"\n")
    return at


def public_key(pem: bytes) -> Verifier:
    """A hub's public key, to check certificates with. Raises ValueError if it is none."""
    return read_public(pem)


def _signer(config: Config) -> Ed25519Signer:
    """The key that certificates are signed with: the data folder's own, or one for as long as the process lives."""
    if config.log == "memory":
        return ephemeral_key()
    try:
        return signing_key(config.data_path)
    except ValueError as error:
        hint = "Restore it from a copy; without it, earlier certificates are checked with the old signing.pub."
        raise StartError("serve.bad_key", f"{error}.", hint) from None


def _work(log: Log) -> Work:
    """What this process does for runs; commands run where it was started. The log is ours alone while it is open."""
    folder = Path.cwd()
    steps = HostSteps(folder)

    async def chain_holds(call: CheckCall) -> Finding:
        read = 0
        for shard in (PROGRAMME, SPACE):
            bad, rows = await first_bad_of_tail(log, shard)
            if bad is not None:
                numbers: dict[str, float | str] = {"shard": shard, "sequence": bad}
                return Finding(verdict=Verdict.FAILED, reason="chain broken", numbers=numbers)
            read += rows
        return Finding(verdict=Verdict.PASSED, numbers={"rows": read})

    def first_slip(runsheet: Runsheet) -> str:
        whole = Loaded(runsheet=runsheet, places={"": START}, digest="", source=b"", file="runsheet")
        wrong = next((problem for problem in lint(whole) if problem.severity == "error"), None)
        return "" if wrong is None else f"{wrong.path}: {wrong.message}"

    return Work(
        steps=steps,
        targets=HostTargets(steps, folder),
        lint=first_slip,
        checks={"event_store.consistent": chain_holds},
        plans=_plan,
        stored_plan=lambda: _stored(folder / STORED),
    )


def _stored(path: Path) -> bytes:
    """A small file; nothing if it is not there, cannot be read, or is larger than what it should be."""
    try:
        with path.open("rb") as file:
            content = file.read(PLAN_BYTES_MAX + 1)
    except OSError:
        return b""
    return content if len(content) <= PLAN_BYTES_MAX else b"too large"


def _plan(text: str, file: str) -> ReadPlan | Refusal:
    """A plan that was sent to the hub."""
    found = parse_plan(text.encode(), file)
    if isinstance(found, PlanFile):
        return ReadPlan(plan=found.plan, canonical=found.canonical, digest=found.digest)
    first, more = found[0], len(found) - 1
    what = str(msgspec.structs.replace(first, hint="")) + (f" (and {more} more)" if more else "")
    details = {"line": str(first.line), "column": str(first.column), "path": first.path, "problem": first.code}
    return Refusal("plan.bad_plan", what, first.hint or "Run `crossfade rollout plan lint FILE`.", details)


def _open_log(config: Config) -> Log:
    if config.log == "memory":
        return MemoryLog()
    refuse_unfinished(config.data_path)
    return open_sqlite(config.data_path)


def _save_snapshots(hub: Hub, config: Config) -> None:
    folder, release = config.data_path / "snapshots", version("crossfade")
    folding = ChildFolding(folder, config.limits, (PROGRAMME, SPACE), release)
    hub.keeping.save(FolderShelf(folder), release=release, folding=folding)


def _backups(config: Config, log: Log) -> Backups | None:
    beside = (config.checkpoint_path, config.data_path / PUBLIC_FILE)
    return FolderBackups(log, config.data_path / "backups", beside) if isinstance(log, SqliteLog) else None


def _server(hub: Hub, config: Config, operator_token: str, *, handle_signals: bool) -> Server:
    clock, streams = HostClock(), Streams()
    door = _door(config)
    host = Host(clock, HostIds(), _seal_key(config), streams)
    mcp = McpEndpoint(
        hub,
        HubTools(hub),
        host,
        McpSettings(version=version("crossfade"), door=door, body_bytes=config.body_bytes_max),
    )
    settings = AppSettings(
        version=version("crossfade"),
        public_hosts=door.hosts,
        public_origins=door.origins,
        open_loopback=config.guests,
        console_token=operator_token if config.guests else "",
        https=config.public_url.startswith("https:"),
        body_bytes_max=config.body_bytes_max,
    )
    collector = CollectorPolicy(clock.monotonic, lambda: _after_a_crowd(hub))
    app = build_app(hub, mcp, settings, clock=clock, streams=streams, pauses=collector.pauses)

    async def drain(grace_seconds: float) -> None:
        hub.drain()
        await streams.drain(grace_seconds / 2)

    return Server(
        app,
        ServerSettings(
            host=config.host,
            port=config.port,
            listeners=config.listeners,
            limits=ConnectionLimits(body_bytes=config.body_bytes_max, connections_max=config.connections_max),
            grace_seconds=config.drain_seconds,
            handle_signals=handle_signals,
            own_process=handle_signals,
        ),
        drain,
        app.front(),
        collector,
    )


def _after_a_crowd(hub: Hub) -> None:
    """Have the hub forget what it can do without, and give back what nobody uses."""
    hub.forget()
    give_back()


def _door(config: Config) -> Door:
    public = urlsplit(config.public_url).hostname
    hosts = {host.lower() for host in config.allowed_hosts} | ({public.lower()} if public else set())
    return Door(hosts=frozenset(hosts), origins=frozenset(origin.lower() for origin in config.allowed_origins))


def _seal_key(config: Config) -> bytes:
    """32 bytes: from the setting, so that replicas share it, else the data folder's own."""
    if config.seal_key:
        return sha256(config.seal_key.encode()).digest()
    try:
        return HostIds().key() * 2 if config.log == "memory" else seal_key(config.data_path)
    except ValueError as error:
        hint = "Restore it; without it sessions end, and no question: then delete it."
        raise StartError("seal_key.damaged", f"{error}.", hint) from None


def _refuse_exposure(config: Config, tokens: object) -> None:
    """Never open to the network without credentials."""
    if config.loopback:
        return
    if config.guests:
        raise StartError(
            "serve.guests",
            f"Guests are admitted on loopback only, not on {config.host}.",
            "Set guests to false, or listen on 127.0.0.1.",
        )
    if not tokens:
        raise StartError(
            "serve.no_tokens",
            f"{config.host} is open to the network and there is no token yet.",
            "Make one with `crossfade token new NAME`, then serve.",
        )
    if not config.public_url:
        raise StartError(
            "serve.no_public_url",
            f"{config.host} needs the name it is reached under.",
            "Give --public-url https://NAME.",
        )


async def _operator_token(hub: Hub, config: Config) -> str:
    """The local operator's token: the one in the data folder while it is valid, else a new one."""
    path = config.operator_token_path
    if config.log == "sqlite" and path.exists():
        token = path.read_text("utf-8", errors="replace").strip()
        if not isinstance(hub.authenticate(token), Refusal):
            return token
    if hub.read_only:
        return ""  # a hub that may not write makes no token either
    issued = await hub.issue_token(ROOT, OPERATOR, Kind.PERSON, tuple(Scope))
    if isinstance(issued, Refusal):
        raise StartError(issued.code, issued.message, issued.hint)
    if config.log == "sqlite":
        write_private(path, issued.token.encode() + b"\n")
    return issued.token


async def _watch_kill_file(hub: Hub, path: Path) -> None:
    """The third form of the kill switch: works for whoever can reach only the disk."""
    while True:
        present = await asyncio.to_thread(path.exists)
        hub.kill_file(present, "kill file")
        await asyncio.sleep(KILL_FILE_SECONDS)
