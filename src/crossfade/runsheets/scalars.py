"""Text to one value of a known type. A ``ValueError`` carries two lines: what is wrong, and what to write.

Rules
-----
1. yes or no: ``true``, ``false``, ``yes``, ``no``, in small letters; nothing else.
2. Numbers are decimal; ``5%`` is 0.05, exactly as written. No infinity, no octal, hexadecimal or separators.
3. Durations are ISO 8601 with weeks, days, hours, minutes, seconds (``P7D``, ``PT1H30M``); a month has no length.
4. A time of day is ``HH:MM``; a date is ``YYYY-MM-DD``.
"""

import re
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Final

WORDS: Final = {"true": True, "yes": True, "false": False, "no": False}
NUMBER: Final = r"-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,16})?([eE][+-]?[0-9]{1,3})?"
INTEGER: Final = r"-?(0|[1-9][0-9]{0,15})"
PERCENTAGE: Final = r"-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,12})?%"
DURATION: Final = (
    r"P(?=[0-9T])(([0-9]{1,4})W)?(([0-9]{1,5})D)?(T(?=[0-9])(([0-9]{1,5})H)?(([0-9]{1,6})M)?(([0-9]{1,8})S)?)?"
)
CLOCK: Final = r"([01][0-9]|2[0-3]):([0-5][0-9])"
DAY: Final = r"2[0-9]{3}-[0-9]{2}-[0-9]{2}"
INTEGER_MAX: Final = 2**53 - 1
"""Beyond this, JSON loses digits, and with them the digest its meaning."""
_SHORT: Final = re.compile(r"(?:(\d+) ?w)? ?(?:(\d+) ?d)? ?(?:(\d+) ?h)? ?(?:(\d+) ?m(?:in)?)? ?(?:(\d+) ?s)?")


def boolean(text: str) -> bool:
    """``true`` or ``yes``, ``false`` or ``no``."""
    if text not in WORDS:
        raise ValueError(f"{text!r} is neither yes nor no", "write true or false")
    return WORDS[text]


def integer(text: str) -> int:
    """A whole number."""
    if not re.fullmatch(INTEGER, text) or abs(int(text)) > INTEGER_MAX:
        raise ValueError(f"{text!r} is not a whole number", _digits(text))
    return int(text)


def number(text: str) -> float:
    """A number, or a percentage as its hundredth part."""
    if re.fullmatch(PERCENTAGE, text):
        return float(Decimal(text[:-1]) / 100)
    if not re.fullmatch(NUMBER, text) or abs(float(text)) > INTEGER_MAX:
        raise ValueError(f"{text!r} is not a number", _digits(text))
    return float(text)


def _digits(text: str) -> str:
    bare = re.sub(r"(?<=\d)[_, '](?=\d{3})", "", text).lstrip("0")
    return (
        f"did you mean {bare}?" if bare != text and re.fullmatch(NUMBER, bare) else "write it in digits, like 12 or 0.5"
    )


def duration(text: str) -> timedelta:
    """An ISO 8601 duration of fixed length."""
    found = re.fullmatch(DURATION, text)
    if not found:
        raise ValueError(f"{text!r} is not a duration", _iso(text))
    weeks, days, hours, minutes, seconds = (int(found[group] or 0) for group in (2, 4, 7, 9, 11))
    return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)


def _iso(text: str) -> str:
    found = _SHORT.fullmatch(text.strip().lower())
    if not found or not any(found.groups()):
        return "write it like P7D, PT20M or PT1H30M"
    weeks, days, *rest = (
        f"{count}{unit}" if count else "" for count, unit in zip(found.groups(), "WDHMS", strict=True)
    )
    return f"did you mean P{weeks}{days}{'T' if any(rest) else ''}{''.join(rest)}?"


def clock_time(text: str) -> time:
    """A time of day; 24:00 is written 00:00."""
    found = re.fullmatch(CLOCK, text)
    if not found:
        hint = "the end of the day is 00:00" if text.startswith("24:") else "write it like 08:00"
        raise ValueError(f"{text!r} is not a time of day", hint)
    return time(int(found[1]), int(found[2]))


def calendar_day(text: str) -> date:
    """A date."""
    try:
        return date.fromisoformat(text) if re.fullmatch(DAY, text) else _no_day(text)
    except ValueError:
        return _no_day(text)


def _no_day(text: str) -> date:
    raise ValueError(f"{text!r} is not a date", "write it like 2026-11-30") from None
