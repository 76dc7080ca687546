"""``up``, ``serve`` and ``demo``: the commands that start a hub."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from crossfade import __version__
from crossfade.cli.connecting import lines_for
from crossfade.cli.exits import CommandError, Exit, exit_of, usage
from crossfade.cli.options import PLAIN, Options, settings
from crossfade.cli.output import Output
from crossfade.client.errors import CrossfadeError
from crossfade.config import Config

if TYPE_CHECKING:
    from crossfade.bootstrap import RunningHub

Host = Annotated[str | None, Parameter(help="Address to listen on.")]
Port = Annotated[int | None, Parameter(help="Port; 0 takes a free one.")]
STARTS: Final = {"serve.no_tokens": Exit.AUTHENTICATION}
"""Exit codes of refusals to start; the others are wrong usage."""
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

    async def run() -> None:
        from crossfade.bootstrap import running_hub
        from crossfade.cli.company import company

        async with running_hub(config, handle_signals=True) as running:
            _welcome(output, running.url, config, demo=demo)
            if not demo:
                await running.server.wait()
                return
            async with company(running.url, output.note):
                await running.server.wait()

    return _started(config, run)


def serve(
    *,
    host: Host = None,
    port: Port = None,
    public_url: Annotated[str | None, Parameter(help="URL under which clients reach the hub.")] = None,
    options: Options = PLAIN,
) -> int:
    """Start a hub for real use. On a public address it needs tokens and --public-url."""
    config = settings(options, host=host, port=port, public_url=public_url)
    output = Output(options)

    def ready(running: "RunningHub") -> None:
        output.note(f"crossfade {__version__}  serving {running.url}  data {config.data_folder}")
        if options.machine:
            output.one({"url": running.url, "mcp": f"{running.url}/mcp", "data_folder": config.data_folder})

    async def run() -> None:
        from crossfade.bootstrap import run_hub

        await run_hub(config, on_ready=ready)

    return _started(config, run)


def demo(
    *,
    leave: Annotated[bool, Parameter(name="--exit", negative="", help="End after the ramp, with the table.")] = True,
    agents: Annotated[int, Parameter(help="Lean agents; four on the official client come on top.")] = 200,
    clusters: Annotated[int, Parameter(help="Groups that talk mostly among themselves.")] = 40,
    seconds: Annotated[float, Parameter(help="About how long it takes.")] = 90.0,
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
    return _demo(agents, clusters, seconds, kills, options)


def _demo(agents: int, clusters: int, seconds: float, kills: int, options: Options) -> int:
    from crossfade.fleet.agents import AgentError
    from crossfade.fleet.demo import DemoSettings, run_demo
    from crossfade.fleet.roster import DemoError
    from crossfade.fleet.supervisor import HubFailedError

    wanted = DemoSettings(agents=agents, clusters=clusters, seconds=seconds, kills=kills, json=options.machine)
    try:
        report = asyncio.run(run_demo(wanted))
    except DemoError as error:
        raise CommandError("demo.impossible", error.message, error.hint) from None
    except (HubFailedError, AgentError) as error:
        raise CommandError("demo.failed", str(error), "crossfade doctor") from None
    except CrossfadeError as error:
        kind = type(error).__name__
        raise CommandError(error.code, error.message, error.hint, exit_of(error.code, kind)) from None
    if options.machine:
        Output(options).one(report.fields())
    return Exit.OK if report.sound else Exit.ERRORED


def _started(config: Config, run: Callable[[], Coroutine[None, None, None]]) -> int:
    """Run a hub until a signal; failures to start as two lines."""
    import uvloop

    from crossfade.bootstrap import StartError
    from crossfade.engine.ports import CorruptLogError, LogError, LogInUseError
    from crossfade.inbound.listeners import AddressInUseError, ListenError

    for chatty in ("httpx2", "httpcore2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.basicConfig(level=config.verbosity.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        uvloop.run(run())
    except LogInUseError as error:
        raise CommandError("log.in_use", str(error), "stop that hub, or use --data FOLDER", Exit.CONFLICT) from None
    except CorruptLogError as error:
        raise CommandError("log.damaged", str(error), "keep the folder, restore a copy", Exit.FAILED) from None
    except LogError as error:
        raise CommandError("log.failed", str(error), "check the data folder and the disk") from None
    except AddressInUseError as error:
        raise CommandError("address.in_use", error.message, error.hint, Exit.CONFLICT) from None
    except ListenError as error:
        raise CommandError("address.refused", error.message, error.hint, Exit.USAGE) from None
    except StartError as error:
        raise CommandError(error.code, error.message, error.hint, STARTS.get(error.code, Exit.USAGE)) from None
    except OSError as error:
        raise CommandError("start.failed", str(error), "check the data folder and the disk") from None
    return Exit.OK


def _welcome(output: Output, url: str, config: Config, *, demo: bool) -> None:
    if output.options.machine:
        output.one({"url": url, "mcp": f"{url}/mcp", "data_folder": config.data_folder})
        return
    kept = (
        "kept nowhere" if config.log == "memory" else f"{config.data_folder}   kept between runs (--memory to discard)"
    )
    lines = [
        f"crossfade {__version__}  development hub: loopback only, guests allowed; for real use: crossfade serve",
        f"  console   {url + '/'}",
        f"  MCP       {url}/mcp   2026-07-28, 2025-11-25, 2025-06-18",
        f"  data      {kept}",
    ]
    if demo:
        lines.append("  demo      a small fleet is talking; stop with --no-demo")
    lines += ["", "connect"]
    for client in CLIENTS:
        lines += [f"  {client}"] + [f"    {line}" for line in lines_for(client, url)]
    lines += ["", "see it work", '  crossfade ask reviewer "Ship build 41?" --choice ship,hold', ""]
    output.note("\n".join(lines))
