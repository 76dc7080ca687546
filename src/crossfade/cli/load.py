"""``load``: simulated agents on real sockets against a hub, and what came of it.

Exit code: 0 everything ended and nothing was lost or doubled, 6 otherwise, 130 after Ctrl-C (with the report so far; a
second Ctrl-C ends at once).
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.load_options import ASKED, MANNER, SHOWN, Asked, Manner, Shown, check_words, wish_of
from crossfade.cli.options import PLAIN, Options, credential
from crossfade.cli.output import Output

if TYPE_CHECKING:
    from crossfade.fleet.load.gauge import Gauge
    from crossfade.fleet.load.profile import Profile
    from crossfade.fleet.load.report import LoadReport
    from crossfade.fleet.load.run import Settings, Watch
    from crossfade.fleet.load.screen import Bar

T = TypeVar("T")
ROUNDS: Final = 6
"""Pairs of a comparison; fewer give no interval at 95 %."""
INTERRUPTED: Final = "interrupted"


def load(
    *,
    scenario: Annotated[str, Parameter(help="baseline, scaling, spike, endurance, coordination …")] = "baseline",
    asked: Asked = ASKED,
    manner: Manner = MANNER,
    shown: Shown = SHOWN,
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
    from crossfade.fleet.load.run import Settings, fitted
    from crossfade.fleet.load.scenarios import of_name, profiles

    found = of_name(scenario)
    steps = profiles(found, wish_of(asked, manner))
    url = options.url or ""
    check_words(asked, manner, shown, steps, url)
    _writable(shown)
    settings = [
        Settings(
            profile=profile,
            scenario=scenario,
            url=url,
            token=_token(options, url),
            share_wished=bool(asked.lane) or asked.share is not None,
            keep=_kept(shown, profile, steps),
        )
        for profile in steps
    ]
    for each in settings:  # none of several is started if the last one cannot be met
        asyncio.run(fitted(each))
    if shown.compare_lanes:
        return _compared(settings[-1], shown, options)
    return _runs(settings, shown, options)


def _kept(shown: Shown, profile: "Profile", steps: "Sequence[Profile]") -> Path | None:
    """The folder of one run: a folder in the folder where there are several."""
    if shown.keep is None or len(steps) == 1:
        return shown.keep
    return shown.keep / f"{profile.agents}-agents-{profile.rate:g}-a-second"


def _token(options: Options, url: str) -> str:
    from crossfade.fleet.load.target import knock

    if not url:
        return ""
    token = credential(options, url)
    if token is None:
        with told():
            asyncio.run(knock(url))  # a hub that is not there needs no token
        raise CommandError("auth.missing", "loading a hub needs an admin's token", "give --token", Exit.AUTHENTICATION)
    if not (token.isascii() and token.isprintable()):
        raise usage("--token has characters that no token has", "write it as it was given to you")
    return token


def _writable(shown: Shown) -> None:
    """Say before the run, not after it, that its result cannot be written."""
    for flag, file in (("--html", shown.html), ("--markdown", shown.markdown)):
        if file is not None and not os.access(file if file.is_file() else file.absolute().parent, os.W_OK):
            raise usage(f"{file} cannot be written", f"{flag} takes a file in a folder that you may write to")
        if file is not None and file.is_dir():
            raise usage(f"{file} is a folder", f"{flag} takes a file")
    if shown.markdown is not None and not shown.compare_lanes:
        raise usage("--markdown is for a comparison of lanes", "add --compare-lanes, or take --html")
    if shown.keep is not None and shown.keep.exists() and (not shown.keep.is_dir() or any(shown.keep.iterdir())):
        raise usage(f"{shown.keep} holds something already", "--keep takes a new folder")


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
    _write(shown.html, lambda: load_page(reports))
    return _exit(all(report.sound for report in reports), reports[-1].reason)


def _compared(settings: "Settings", shown: Shown, options: Options) -> int:
    import msgspec

    from crossfade.fleet.load.compare import LanesReport, compare
    from crossfade.fleet.load.markdown import lanes_markdown
    from crossfade.fleet.load.page import lanes_page
    from crossfade.fleet.load.screen import show_lanes

    rounds = ROUNDS if shown.rounds is None else shown.rounds
    found: list[LanesReport] = []

    async def work(one: "One") -> None:
        async def run_one(profile: "Profile", label: str) -> "LoadReport":
            return await one(msgspec.structs.replace(settings, profile=profile, keep=None), label)

        found.append(await compare(settings.profile, rounds, run_one))

    supervised(work, options)
    report = found[0]
    if options.machine:
        Output(options).one(report.fields())
    else:
        show_lanes(sys.stdout, report)
    _write(shown.html, lambda: lanes_page(report))
    _write(shown.markdown, lambda: lanes_markdown(report))
    return _exit(report.sound, report.reason)


def _exit(sound: bool, reason: str) -> int:
    if reason == INTERRUPTED:
        return Exit.INTERRUPTED
    return Exit.OK if sound else Exit.FAILED


def _write(file: Path | None, page: Callable[[], str]) -> None:
    """Last: what was found is on stdout, whatever becomes of the page."""
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
    from crossfade.fleet.load.screen import Bar

    async def main() -> None:
        with Bar(sys.stderr, quiet=options.quiet) as bar:
            one = One(bar)
            loop = asyncio.get_running_loop()
            for number in ending():
                with contextlib.suppress(ValueError, RuntimeError):  # not the main thread: nobody can interrupt it
                    loop.add_signal_handler(number, one.interrupt)
            await work(one)

    with told():
        asyncio.run(main())


def ending() -> list[signal.Signals]:
    """What asks for an end: Ctrl-C, who manages us, and a terminal that is closed unless we were told to outlive it."""
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if outlives else [signal.SIGHUP])]


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Say in two lines why there is no hub to load. Raises CommandError."""
    from crossfade.fleet.load.bulk import EnlistError, NobodyThereError
    from crossfade.fleet.supervisor import HubFailedError

    try:
        yield
    except HubFailedError as error:
        raise CommandError("load.no_hub", str(error), error.hint or "crossfade doctor") from None
    except NobodyThereError as error:
        hint = "start it there, give another --url, or leave it out: then the load starts a hub of its own"
        raise CommandError("load.no_hub", str(error), hint, Exit.UNREACHABLE) from None
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
