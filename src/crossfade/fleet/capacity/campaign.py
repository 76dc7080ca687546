"""The measurements that a plan is made from: open-loop points over agents, rate and lane, then the rungs.

Rules
-----
1. Each point has a hub of its own, so that one point's memory is not the next one's.
2. Every fourth point is left out of what is learnt, and lies within the others.
3. Figures are of the stretch in the middle of the schedule, between two readings; the rate is what was answered in it.
4. A point during which other processes had the processors that the hub wanted is taken again, and the quietest of a
   few counts: a hub that has to wait does more at once, and so writes less often. What stays disturbed is left out,
   and said. Neither in a quick campaign.
5. A point at which something was lost, doubled or cut short ends it: nothing is planned from that.
"""

import itertools
import math
import platform
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from crossfade import __version__
from crossfade.core.capacity import Point, Rung
from crossfade.fleet.capacity.points import Machine, Measurements
from crossfade.fleet.capacity.probe import Reading, look
from crossfade.fleet.host import monotonic_ns
from crossfade.fleet.load.gauge import Gauge
from crossfade.fleet.load.profile import Phase, Profile, ProfileError, check
from crossfade.fleet.load.report import LoadReport
from crossfade.fleet.load.run import Watch

RUNGS: Final = (1, 2, 4, 8, 16, 32, 64)
HOLD_OUT: Final = 4
WARM: Final = 0.15
"""Share of the schedule before the first reading."""
FALLEN_BEHIND_SECONDS: Final = 1.0
"""So much of the rate still open at the end, and the hub did not keep up."""
CROWDED: Final = 0.3
"""A point whose hub waited for more than this share of the time says nothing about a hub that need not."""
AGENTS_MIN: Final = 20
SPARSE: Final = 0.4
"""A point of at most this share of the highest rate is held longer: it has fewer questions to take a mean of."""
LONGER: Final = 2.0
ATTEMPTS_MAX: Final = 3
QUIET: Final = 0.15
"""Share of the time for which the hub may have waited for a processor."""
LOOK_NS: Final = 250_000_000
"""Between readings, which cost more the more connections there are."""

GRID: Final = (
    (0.2, 0.2, 0.0), (1.0, 0.2, 1.0), (0.2, 1.0, 1.0), (0.6, 0.6, 0.5),
    (1.0, 1.0, 0.0), (0.2, 0.2, 1.0), (1.0, 1.0, 1.0), (0.4, 0.8, 0.5),
    (0.2, 1.0, 0.0), (1.0, 0.2, 0.0), (0.6, 0.4, 0.5), (0.8, 0.4, 0.25),
    (0.4, 0.6, 0.25), (1.0, 0.7, 0.5), (0.4, 1.0, 0.75), (0.5, 0.5, 0.75),
)  # fmt: skip
"""Share of the most agents, share of the highest rate, share on elicitation. Every fourth lies within the others."""
GRID_QUICK: Final = GRID[:12]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure."""

    agents: int
    """Most."""
    questions_per_second: float
    """Highest rate."""
    seconds: float
    """How long a point is held at least; one of few questions is held longer."""
    quick: bool = False


class CampaignError(Exception):
    """It cannot go on; the message is the reason."""


RunPoint = Callable[[Profile, str, Watch], Awaitable[LoadReport]]
"""Runs one profile on a hub of its own; the words say what it is; the watch is told how it stands."""
RunRungs = Callable[[tuple[int, ...], float], Awaitable[list[Rung]]]


async def measure(wish: Wish, run_point: RunPoint, run_rungs: RunRungs) -> Measurements:
    """Take all measurements. Raises ProfileError before the first one, CampaignError, and what the runs raise."""
    profiles = profiles_of(wish)
    points: dict[int, Point] = {}
    warnings: list[str] = []
    for number, profile in enumerate(profiles, 1):
        place = f"point {number} of {len(profiles)}"
        label = f"{place}, {profile.agents} agents, {profile.rate:g}/s, {profile.share:.0%} elicitation"
        report, point = await _quietest(profile, label, run_point, 1 if wish.quick else ATTEMPTS_MAX)
        if wish.quick or _waited(report) <= CROWDED:
            points[number] = point
        else:
            warnings.append(f"{label}: left out, because the hub had to wait for {_waited(report):.0%} of the time")
        warnings += [f"{label}: {text}" for text in (*report.warnings, *_behind(report, profile))]
    rungs = await run_rungs(RUNGS, wish.seconds / 2)
    return Measurements(
        capacity=1,
        version=__version__,
        machine=machine(),
        seconds=wish.seconds,
        agent_model=profiles[0].model.name,
        points=tuple(point for number, point in points.items() if number % HOLD_OUT),
        held_out=tuple(point for number, point in points.items() if not number % HOLD_OUT),
        rungs=tuple(rungs),
        warnings=tuple(warnings),
    )


async def _quietest(profile: Profile, label: str, run_point: RunPoint, quiet_attempts: int) -> tuple[LoadReport, Point]:
    """The run in which the hub had to wait least; one that could not be read is none. Raises CampaignError."""
    best: tuple[LoadReport, Point] | None = None
    for attempt in range(1, ATTEMPTS_MAX + 1):
        keeper = Keeper(profile)
        report = await run_point(profile, label if attempt == 1 else f"{label}, again on a quieter machine", keeper)
        point = keeper.point(report)
        if point is not None and (best is None or _waited(report) < _waited(best[0])):
            best = report, point
        if best is not None and (_waited(best[0]) <= QUIET or attempt >= quiet_attempts):
            return best
    if best is None:
        raise CampaignError("what the hub uses cannot be read: this needs Linux, and some seconds a point")
    return best


def _waited(report: LoadReport) -> float:
    return report.hub_waited or 0.0


def profiles_of(wish: Wish) -> list[Profile]:
    """The profile of each point. Raises ProfileError if one of them cannot be meant."""
    if wish.agents < AGENTS_MIN:
        said = f"{wish.agents} agents are too few to tell what one costs"
        raise ProfileError(said, f"give --agents {AGENTS_MIN} or more")
    if not (math.isfinite(wish.questions_per_second) and wish.questions_per_second > 0):
        said = f"{wish.questions_per_second:g} questions a second is no rate"
        raise ProfileError(said, "--questions-per-second takes a number above 0")
    found = [
        Profile(
            agents=round(wish.agents * agents),
            phases=(Phase("steady", _seconds(wish, rate), wish.questions_per_second * rate),),
            share=share,
            lines=0,
            seed=number,
        )
        for number, (agents, rate, share) in enumerate(GRID_QUICK if wish.quick else GRID, 1)
    ]
    for profile in found:
        check(profile)
    return found


def _seconds(wish: Wish, rate_share: float) -> float:
    return wish.seconds * (LONGER if rate_share <= SPARSE and not wish.quick else 1.0)


def _behind(report: LoadReport, profile: Profile) -> Iterator[str]:
    """The point is no steady state."""
    short = report.offered_per_second - report.questions_per_second
    if short * profile.seconds > FALLEN_BEHIND_SECONDS * report.offered_per_second + 3 * (report.questions or 1) ** 0.5:
        yield f"the hub answered {report.questions_per_second:g} of {report.offered_per_second:g} a second"


class Keeper:
    """Takes readings while a point is run; a ``Watch``."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._first: tuple[Reading, int] | None = None
        self._last: tuple[Reading, int] | None = None

    def __call__(self, what: str, part: float, gauge: Gauge) -> None:
        """Read between the warm-up and the end of the schedule."""
        if what != "questions" or not WARM <= part < 1:
            return
        target = gauge.target
        if self._last is not None and monotonic_ns() - self._last[0].at_ns < LOOK_NS:
            return
        reading = look(target.pid, target.port)
        if reading is not None:
            self._last = (reading, gauge.answered)
            self._first = self._first or self._last

    def point(self, report: LoadReport) -> Point | None:
        """What was measured; None if there were no two readings. Raises CampaignError."""
        if report.reason or not report.sound:
            what = report.reason or f"{report.lost} lost, {report.doubled} doubled"
            raise CampaignError(f"{self._profile.agents} agents, {self._profile.rate:g}/s: {what}")
        if self._first is None or self._last is None or self._last[0].at_ns == self._first[0].at_ns:
            return None
        (before, answered_before), (after, answered) = self._first, self._last
        seconds = (after.at_ns - before.at_ns) / 1e9
        return Point(
            agents=self._profile.agents,
            questions_per_second=round((answered - answered_before) / seconds, 3),
            elicitation_share=self._profile.share,
            cores=round((after.cpu_ns - before.cpu_ns) / 1e9 / seconds, 5),
            memory_mib=round(after.memory_mib, 2),
            log_writes_per_second=round((after.write_calls - before.write_calls) / seconds, 3),
            log_mib_per_second=round((after.written_bytes - before.written_bytes) / 1_048_576 / seconds, 5),
            connections=after.connections,
        )


def machine() -> Machine:
    """What this machine is."""
    return Machine(
        processors=_count("/proc/cpuinfo", "processor"),
        model=_value("/proc/cpuinfo", "model name"),
        memory_mib=int(_value("/proc/meminfo", "MemTotal").split()[0] or 0) // 1024,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def _lines(path: str, name: str) -> list[str]:
    try:
        lines = Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name]


def _count(path: str, name: str) -> int:
    return len(_lines(path, name))


def _value(path: str, name: str) -> str:
    return next(itertools.chain(_lines(path, name), ["0"]))
