"""``baseline``: measure the polling lane before anything moves, and see whether the measurement can be relied on."""

from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from crossfade.cli.exits import Exit
from crossfade.cli.options import PLAIN, Options, call, seconds
from crossfade.cli.output import Output
from crossfade.client.api import Api
from crossfade.client.views import Object

BARS: Final = "▁▂▃▄▅▆▇█"
UNMEASURED: Final = "·"
EXITS: Final = {"passed": Exit.OK, "inconclusive": Exit.INCONCLUSIVE}


class Season(msgspec.Struct, frozen=True):
    """What the chart is drawn from."""

    by_hour: tuple[float | None, ...]
    by_day: tuple[float | None, ...]
    peak_hour: int | None = None
    trough_hour: int | None = None


class Gap(msgspec.Struct, frozen=True):
    """A stretch without measurements."""

    from_at: str
    until_at: str
    seconds: float


def start(
    *,
    length: Annotated[str, Parameter(name="--for", help="Like 7d or 90m.")] = "7d",
    options: Options = PLAIN,
) -> int:
    """Begin to measure the polling lane: every delivery, request and poll, in blocks of a few seconds."""
    return _steer(options, "start", {"seconds": seconds(length)})


def stop(
    *,
    reason: Annotated[str, Parameter(help="Why; it goes into the log.")] = "",
    options: Options = PLAIN,
) -> int:
    """End the baseline before its time. One that is too short cannot be relied on."""
    return _steer(options, "stop", {"reason": reason})


def show(
    *,
    check: Annotated[
        bool, Parameter(negative="", help="Exit with 0 only if it is complete: 7 while it is not yet, 1 never.")
    ] = False,
    options: Options = PLAIN,
) -> int:
    """Show whether the baseline is complete, where it has gaps, and how its days go up and down."""
    found = call(options, lambda api: api.baseline())
    output = Output(options)
    output.one(found)
    for line in _story(found):
        output.note(line)
    return EXITS.get(str(found["verdict"]), Exit.ERRORED) if check else Exit.OK


def _story(found: Object) -> list[str]:
    """The gaps by name, and a small chart."""
    gaps = msgspec.convert(found["gaps"], tuple[Gap, ...])
    lines = [f"gap: {gap.from_at} to {gap.until_at}, {gap.seconds:,.0f} s" for gap in gaps]
    season = msgspec.convert(found["season"], Season | None)
    if season is None or season.peak_hour is None or season.trough_hour is None:
        return lines
    high, low = (season.by_hour[hour] or 0.0 for hour in (season.peak_hour, season.trough_hour))
    extremes = f"most {high:,.0f} at {season.peak_hour:02d}:00, least {low:,.0f} at {season.trough_hour:02d}:00"
    return [
        *lines,
        f"questions an hour, 00 to 23 UTC:  {bars(season.by_hour)}  {extremes}",
        f"questions an hour, Mon to Sun:    {bars(season.by_day)}",
    ]


def bars(rates: tuple[float | None, ...]) -> str:
    """One character for each rate: its height is its part of the highest, a dot where nothing was measured."""
    highest = max((rate for rate in rates if rate is not None), default=0.0) or 1.0
    return "".join(UNMEASURED if rate is None else BARS[int(rate / highest * (len(BARS) - 1))] for rate in rates)


def _steer(options: Options, action: str, body: Object) -> int:
    async def work(api: Api) -> Object:
        return await api.steer_baseline(action, body)

    Output(options).one(call(options, work))
    return Exit.OK
