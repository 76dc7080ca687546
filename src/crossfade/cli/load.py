"""``load``: simulated agents on real sockets against a hub, and what came of it.

Exit code: 0 everything ended and nothing was lost or doubled, 6 otherwise, 130 after Ctrl-C (with the report so far; a
second Ctrl-C ends at once).
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.options import PLAIN, Options, credential
from crossfade.cli.output import Output

if TYPE_CHECKING:
    from crossfade.fleet.load.gauge import Gauge
    from crossfade.fleet.load.profile import Profile
    from crossfade.fleet.load.report import LoadReport
    from crossfade.fleet.load.run import Settings, Watch
    from crossfade.fleet.load.scenarios import Scenario, Wish
    from crossfade.fleet.load.screen import Bar

T = TypeVar("T")
INTERRUPTED: Final = "interrupted"
LANES: Final = {"polling": 0.0, "elicitation": 1.0}


@Parameter(name="*", group="What is asked")
@dataclass(frozen=True)
class Asked:
    """How much and by whom. What is not given is as the scenario has it."""

    agents: Annotated[int | None, Parameter(help="Simulated agents, up to 15,000 on one hub.")] = None
    questions_per_second: Annotated[float | None, Parameter(help="Rate, on average; arrivals are random.")] = None
    seconds: Annotated[float | None, Parameter(help="How long questions are due.")] = None
    lane: Annotated[str | None, Parameter(help="polling or elicitation: --share 0 or 1.")] = None
    share: Annotated[float | None, Parameter(help="Share of the agents on the elicitation lane, 0 to 1.")] = None
    steps: Annotated[str | None, Parameter(help="Numbers of agents, a run each, like 100,1000,5000.")] = None
    rates: Annotated[str | None, Parameter(help="Questions a second, a run each, like 100,200,400.")] = None
    payload_bytes: Annotated[int, Parameter(help="Text of a question.")] = 64
    fan_out: Annotated[int, Parameter(help="Agents asked at once by one asker, a question each.")] = 1
    burst: Annotated[float, Parameter(help="Mean number of askers that begin at the same instant.")] = 1.0
    clusters: Annotated[int, Parameter(help="Groups of agents; 0: one for 25.")] = 0
    within: Annotated[float, Parameter(help="Share of questions that stay in the asker's cluster.")] = 0.8
    experts: Annotated[int | None, Parameter(help="So many are asked by all others; 0: everybody by everybody.")] = None


@Parameter(name="*", group="What agents are like")
@dataclass(frozen=True)
class Manner:
    """How they behave and connect."""

    model: Annotated[str, Parameter(help="attentive, service, assistant or visitor: see --list.")] = "attentive"
    think_seconds: Annotated[float | None, Parameter(help="Mean time for one question; not part of answer_ms.")] = None
    carrier: Annotated[str, Parameter(help="On elicitation: attend, unchanged or stream.")] = "attend"
    processes: Annotated[int, Parameter(help="Load processes; 0: as many as needed, at least two.")] = 0
    connections: Annotated[int, Parameter(help="Connections that all askers share, at most 1,000.")] = 1_000
    sources: Annotated[int, Parameter(help="Loopback addresses to call from; 0: as many as needed.")] = 0
    seed: Annotated[int, Parameter(help="The same seed gives the same schedule.")] = 1


@Parameter(name="*", group="What comes of it")
@dataclass(frozen=True)
class Shown:
    """What is done with the result."""

    html: Annotated[Path | None, Parameter(help="Write a page with plots to this file.")] = None
    markdown: Annotated[Path | None, Parameter(help="Write what --compare-lanes found to this file.")] = None
    keep: Annotated[Path | None, Parameter(help="Keep the journals (and the hub's data) in this folder.")] = None
    compare_lanes: Annotated[bool, Parameter(negative="", help="Each lane alone, in pairs.")] = False
    rounds: Annotated[int, Parameter(help="Pairs of --compare-lanes; six for an interval at 95 %.")] = 6
    list: Annotated[bool, Parameter(negative="", help="List scenarios and models, and do nothing.")] = False


def load(
    *,
    scenario: Annotated[str, Parameter(help="baseline, scaling, spike, endurance, coordination …")] = "baseline",
    asked: Asked = Asked(),
    manner: Manner = Manner(),
    shown: Shown = Shown(),
    options: Options = PLAIN,
) -> int:
    """Load a hub with simulated agents: its own on a scratch folder, or the one at --url. Needs an admin's token there.

    Exit code: 0 nothing was lost or doubled and all came to its end, 6 otherwise, 130 after Ctrl-C.
    """
    if shown.list:
        return _list(options)
    from crossfade.fleet.load.profile import ProfileError

    try:
        return _load(scenario, asked, manner, shown, options)
    except ProfileError as error:
        raise CommandError("load.impossible", error.message, error.hint, Exit.USAGE) from None


def _load(scenario: str, asked: Asked, manner: Manner, shown: Shown, options: Options) -> int:
    from crossfade.fleet.load.profile import check
    from crossfade.fleet.load.run import Settings
    from crossfade.fleet.load.scenarios import of_name, profiles

    found = of_name(scenario)
    steps = profiles(found, _wish(found, asked, manner))
    for profile in steps:
        check(profile)
    _writable(shown)
    url = options.url or ""
    settings = [
        Settings(
            profile=profile, scenario=scenario, url=url, token=_token(options, url), keep=_kept(shown, profile, steps)
        )
        for profile in steps
    ]
    if shown.compare_lanes:
        return _compared(settings[-1], shown, options)
    return _runs(settings, shown, options)


def _kept(shown: Shown, profile: "Profile", steps: "Sequence[Profile]") -> Path | None:
    """The folder of one run: a folder in the folder where there are several."""
    if shown.keep is None or len(steps) == 1:
        return shown.keep
    return shown.keep / f"{profile.agents}-agents-{profile.rate:g}-a-second"


def _token(options: Options, url: str) -> str:
    if not url:
        return ""
    token = credential(options, url)
    if token is None:
        raise CommandError("auth.missing", "loading a hub needs an admin's token", "give --token", Exit.AUTHENTICATION)
    return token


def _writable(shown: Shown) -> None:
    """Say before the run, not after it, that its result cannot be written."""
    for flag, file in (("--html", shown.html), ("--markdown", shown.markdown)):
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            raise usage(f"{file} cannot be written", f"{flag} takes a file in a folder that exists")
    if shown.markdown is not None and not shown.compare_lanes:
        raise usage("--markdown is for a comparison of lanes", "add --compare-lanes, or take --html")
    if shown.keep is not None and shown.keep.exists() and (not shown.keep.is_dir() or any(shown.keep.iterdir())):
        raise usage(f"{shown.keep} holds something already", "--keep takes a new folder")


def _wish(scenario: "Scenario", asked: Asked, manner: Manner) -> "Wish":
    import msgspec

    from crossfade.fleet.load.profile import Carrier, ProfileError
    from crossfade.fleet.load.scenarios import Wish
    from crossfade.fleet.model import MODELS

    if manner.model not in MODELS:
        raise ProfileError(f"there is no model {manner.model!r}", f"one of: {', '.join(MODELS)}")
    if manner.carrier not in list(Carrier):
        raise ProfileError(f"there is no carrier {manner.carrier!r}", f"one of: {', '.join(Carrier)}")
    model = MODELS[manner.model]
    if manner.think_seconds is not None:
        if not 0 <= manner.think_seconds <= 3_600:
            raise ProfileError(f"{manner.think_seconds:g} s is no time to think", "--think-seconds takes 0 to 3600")
        model = msgspec.structs.replace(model, think_seconds=manner.think_seconds)
    more: dict[str, object] = {
        "payload_bytes": asked.payload_bytes,
        "fan_out": asked.fan_out,
        "burst": asked.burst,
        "clusters": asked.clusters,
        "within": asked.within,
        "model": model,
        "carrier": Carrier(manner.carrier),
        "processes": manner.processes,
        "lines": manner.connections,
        "sources": manner.sources,
        "seed": manner.seed,
    }
    if asked.experts is not None:
        more["experts"] = asked.experts
    return Wish(
        agents=asked.agents,
        rate=asked.questions_per_second,
        seconds=asked.seconds,
        share=_share(asked),
        steps=_steps(asked.steps),
        rates=_rates(asked.rates),
        more=more,
    )


def _share(asked: Asked) -> float | None:
    if asked.lane is None:
        return asked.share
    if asked.lane not in LANES or asked.share is not None:
        raise usage(f"--lane {asked.lane} cannot be meant", "--lane polling or --lane elicitation, or --share 0 to 1")
    return LANES[asked.lane]


def _steps(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    parts = text.replace("_", "").split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise usage(f"--steps {text!r} is not a list of numbers", "write it like 100,1000,5000")
    return tuple(int(part) for part in parts)


def _rates(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.replace("_", "").split(","))
    except ValueError:
        raise usage(f"--rates {text!r} is not a list of numbers", "write it like 100,200,400") from None


# --- running ----------------------------------------------------------------------------------------


def _runs(settings: "Sequence[Settings]", shown: Shown, options: Options) -> int:
    """One run after the other; the last one's object, with all as ``steps`` if there were several."""
    from crossfade.fleet.load.page import load_page
    from crossfade.fleet.load.screen import show

    reports: list[LoadReport] = []

    async def work(one: "One") -> None:
        for each in settings:
            label = f"{each.profile.agents:,} agents, {each.profile.rate:g}/s" if len(settings) > 1 else ""
            reports.append(await one(each, label))
            if reports[-1].reason:
                break

    supervised(work, options)
    _write(shown.html, lambda: load_page(reports))
    fields = reports[-1].fields()
    if len(settings) > 1:
        fields["steps"] = [report.fields() for report in reports]
        fields["highest_rate_within_targets"] = max(
            (report.offered_per_second for report in reports if report.sound and report.targets_met), default=None
        )
    if options.machine:
        Output(options).one(fields)
    else:
        show(sys.stdout, reports)
    return _exit(all(report.sound for report in reports), reports[-1].reason)


def _compared(settings: "Settings", shown: Shown, options: Options) -> int:
    import msgspec

    from crossfade.fleet.load.compare import LanesReport, compare
    from crossfade.fleet.load.markdown import lanes_markdown
    from crossfade.fleet.load.page import lanes_page
    from crossfade.fleet.load.profile import ProfileError
    from crossfade.fleet.load.screen import show_lanes

    if settings.url:
        raise ProfileError("each lane is measured alone, on a hub of its own", "--compare-lanes goes without --url")
    found: list[LanesReport] = []

    async def work(one: "One") -> None:
        async def run_one(profile: "Profile", label: str) -> "LoadReport":
            return await one(msgspec.structs.replace(settings, profile=profile, keep=None), label)

        found.append(await compare(settings.profile, shown.rounds, run_one))

    supervised(work, options)
    report = found[0]
    _write(shown.html, lambda: lanes_page(report))
    _write(shown.markdown, lambda: lanes_markdown(report))
    if options.machine:
        Output(options).one(report.fields())
    else:
        show_lanes(sys.stdout, report)
    return _exit(report.sound, report.reason)


def _exit(sound: bool, reason: str) -> int:
    if reason == INTERRUPTED:
        return Exit.INTERRUPTED
    return Exit.OK if sound else Exit.FAILED


def _write(file: Path | None, page: Callable[[], str]) -> None:
    if file is None:
        return
    try:
        file.write_text(page(), "utf-8")
    except OSError as fault:
        what = f"{file}: {fault.strerror}"
        raise CommandError("usage.file", what, "name another file", Exit.USAGE) from None


class One:
    """Runs one load under the bar; interrupted by ``stop``."""

    def __init__(self, bar: "Bar") -> None:
        self.stop = asyncio.Event()
        self.kill: list[Callable[[], None]] = []
        """What ends every child at once."""
        self._bar = bar

    async def __call__(self, settings: "Settings", label: str, also: "Watch | None" = None) -> "LoadReport":
        """The report; ``also`` is told how it stands. Raises ProfileError, HubFailedError, EnlistError."""
        from crossfade.fleet.load.run import run_load

        def watch(what: str, part: float, gauge: "Gauge") -> None:
            self._bar.watch(what, part, gauge)
            if also is not None:
                also(what, part, gauge)

        self._bar.title(label)
        return await run_load(settings, self.stop, watch, self.kill)

    def interrupt(self) -> None:
        """Ctrl-C: the first time ask for the report, the second time end."""
        if self.stop.is_set():
            for kill in self.kill:
                with contextlib.suppress(ProcessLookupError):
                    kill()
            os._exit(Exit.INTERRUPTED)
        self.stop.set()


def supervised(work: Callable[[One], Awaitable[None]], options: Options) -> None:
    """Run ``work`` with the bar and the signals. Raises CommandError."""
    from crossfade.fleet.load.bulk import EnlistError
    from crossfade.fleet.load.screen import Bar
    from crossfade.fleet.supervisor import HubFailedError

    async def main() -> None:
        with Bar(sys.stderr, quiet=options.quiet) as bar:
            one = One(bar)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(ValueError, RuntimeError):  # not the main thread: nobody can interrupt it
                    loop.add_signal_handler(number, one.interrupt)
            await work(one)

    try:
        asyncio.run(main())
    except HubFailedError as error:
        raise CommandError("load.no_hub", str(error), "crossfade doctor") from None
    except EnlistError as error:
        kind = Exit.AUTHENTICATION if "HTTP 401" in str(error) or "HTTP 403" in str(error) else Exit.UNREACHABLE
        raise CommandError("load.no_credentials", str(error), "give --url and an admin's --token", kind) from None


def _list(options: Options) -> int:
    from crossfade.fleet.load.scenarios import SCENARIOS
    from crossfade.fleet.model import MODELS

    rows: list[dict[str, object]] = [
        {"name": each.name, "kind": "scenario", "agents": each.agents, "questions_per_second": each.rate,
         "seconds": each.seconds, "help": each.help}
        for each in SCENARIOS.values()
    ]  # fmt: skip
    rows += [
        {"name": each.name, "kind": "model", "agents": None, "questions_per_second": None, "seconds": None,
         "help": each.help}
        for each in MODELS.values()
    ]  # fmt: skip
    Output(options).table(rows, ("name", "kind", "agents", "questions_per_second", "seconds", "help"))
    return Exit.OK
