"""``up``, ``serve`` and ``demo``: the commands that start a hub."""

import asyncio
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from crossfade import __version__
from crossfade.cli.connecting import lines_for
from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.options import PLAIN, Options, settings
from crossfade.cli.output import Output
from crossfade.config import Config

if TYPE_CHECKING:
    from crossfade.bootstrap import RunningHub

Host = Annotated[str | None, Parameter(help="Address to listen on.")]
Port = Annotated[int | None, Parameter(help="Port; 0 takes a free one.")]
CLIENTS: Final = ("claude-code", "cursor", "vscode", "codex", "python")


def up(
    *,
    port: Port = None,
    demo: Annotated[bool, Parameter(help="Let a demo fleet talk.")] = True,
    memory: Annotated[bool, Parameter(negative="", help="Keep nothing after it stops.")] = False,
    options: Options = PLAIN,
) -> int:
    """Start a hub on this machine to try things: loopback only, guests allowed, a demo fleet talking."""
    log = "memory" if memory else None
    config = settings(options, port=port, log=log, guests=True)
    if not config.loopback:
        raise usage(f"up listens on a loopback address only, not on {config.host}", "crossfade serve")
    output = Output(options)

    def ready(hub: "RunningHub") -> None:
        _welcome(output, hub, config, demo=demo)
        if demo:
            from crossfade.fleet.demo import start_background

            start_background(hub.url, output.note)

    return _run(config, ready)


def serve(
    *,
    host: Host = None,
    port: Port = None,
    public_url: Annotated[str | None, Parameter(help="URL under which clients reach the hub.")] = None,
    options: Options = PLAIN,
) -> int:
    """Start a hub for real use. On a public address it needs tokens and --public-url."""
    config = settings(options, host=host, port=port, public_url=public_url)
    if not config.loopback and not config.public_url:
        raise usage(f"a hub on {config.host} needs the URL clients use", "crossfade serve --public-url https://…")
    output = Output(options)

    def ready(hub: "RunningHub") -> None:
        output.note(f"crossfade {__version__}  serving {hub.url}  data {config.data_folder}")
        if options.machine:
            output.one({"url": hub.url, "mcp": f"{hub.url}/mcp", "data_folder": config.data_folder})

    return _run(config, ready)


def demo(
    *,
    leave: Annotated[bool, Parameter(name="--exit", negative="", help="End after the ramp, with the table.")] = True,
    agents: int = 200,
    clusters: int = 40,
    seconds: int = 90,
    kills: Annotated[int, Parameter(help="Kill the hub so often on the way, and start it again.")] = 0,
    options: Options = PLAIN,
) -> int:
    """Run the whole rollout with a fleet of its own and reconcile what was asked with what was answered.

    Exit code: 0 nothing lost and nothing doubled, 1 otherwise.
    """
    if not leave:
        return up(options=options)
    if agents < clusters or clusters < 1:
        raise usage(f"{agents} agents cannot form {clusters} clusters", "give at least one agent for each cluster")
    from crossfade.fleet.demo import DemoSettings, run_demo

    asked = DemoSettings(agents=agents, clusters=clusters, seconds=float(seconds), kills=kills)
    output = Output(options)
    report = asyncio.run(run_demo(asked, output.note))
    output.one(report.fields())
    return Exit.OK if report.sound else Exit.ERRORED


def _run(config: Config, ready: "Callable[[RunningHub], None]") -> int:
    """Serve until a signal; failures to start as two lines."""
    from crossfade.bootstrap import run_hub
    from crossfade.engine.ports import CorruptLogError, LogError, LogInUseError

    try:
        if not config.loopback:
            asyncio.run(_need_tokens(config))
        asyncio.run(run_hub(config, on_ready=ready))
    except LogInUseError as error:
        raise CommandError(
            "log.in_use", str(error), "stop that hub, or use another folder: --data", Exit.CONFLICT
        ) from None
    except CorruptLogError as error:
        raise CommandError(
            "log.damaged", str(error), "restore from a copy; crossfade log verify", Exit.FAILED
        ) from None
    except LogError as error:
        raise CommandError("log.failed", str(error), "check the data folder and the disk", Exit.ERRORED) from None
    except OSError as error:
        raise _not_listening(config, error) from None
    return Exit.OK


async def _need_tokens(config: Config) -> None:
    """Refuse to open a hub to the network that nobody could use, or that somebody might open in haste."""
    from crossfade.cli.offline import has_tokens

    if not await has_tokens(config):
        message = f"a hub on {config.host} is open to the network, and this one has no tokens yet"
        hint = f"crossfade token new NAME --scope admin --data {config.data_folder}"
        raise CommandError("auth.no_tokens", message, hint, Exit.AUTHENTICATION)


def _not_listening(config: Config, error: OSError) -> CommandError:
    place = f"{config.host}:{config.port}"
    if error.errno == errno.EADDRINUSE:
        hint = "crossfade agent ls shows whether it is a hub; else use --port 0"
        return CommandError("address.in_use", f"{place} is in use", hint, Exit.CONFLICT)
    if error.errno in (errno.EACCES, errno.EADDRNOTAVAIL, errno.EPERM):
        return CommandError("address.refused", f"{place}: {error.strerror}", "use another --host or --port", Exit.USAGE)
    return CommandError("start.failed", str(error), "check the data folder and the disk", Exit.ERRORED)


def _welcome(output: Output, hub: "RunningHub", config: Config, *, demo: bool) -> None:
    if output.options.machine:
        output.one({"url": hub.url, "mcp": f"{hub.url}/mcp", "data_folder": config.data_folder})
        return
    kept = (
        "kept nowhere" if config.log == "memory" else f"{config.data_folder}   kept between runs (--memory to discard)"
    )
    lines = [
        f"crossfade {__version__}  development hub: loopback only, guests allowed; for real use: crossfade serve",
        f"  console   {hub.console_url}",
        f"  MCP       {hub.url}/mcp   2026-07-28, 2025-11-25, 2025-06-18",
        f"  data      {kept}",
    ]
    if demo:
        lines.append("  demo      a small fleet is talking; stop with --no-demo")
    lines += ["", "connect"]
    for client in CLIENTS:
        lines += [f"  {client}"] + [f"    {line}" for line in lines_for(client, hub.url)]
    lines += ["", "see it work", '  crossfade ask reviewer "Ship build 41?" --choice ship,hold', ""]
    output.note("\n".join(lines))
