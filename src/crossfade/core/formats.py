"""The four string formats of the elicitation subset, as predicates on text.

Not a parser: nothing is normalised and nothing is looked up. ASCII only, as the sources say.
Sources: RFC 5321 §4.1.2 (email), RFC 3986 appendix A (uri), RFC 3339 §5.6 and §5.7 (date, date-time).
"""

import re
from typing import Final

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_QUOTED: Final = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"'
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL: Final = re.compile(rf"(?P<local>{_ATOM}(?:\.{_ATOM})*|{_QUOTED})@(?P<domain>{_LABEL}(?:\.{_LABEL})*)")
LOCAL_LENGTH_MAX: Final = 64
DOMAIN_LENGTH_MAX: Final = 254

_PCHAR: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_USER: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*"
_NAME: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"
_FUTURE: Final = r"[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+"
_AUTHORITY: Final = rf"(?:{_USER}@)?(?:\[(?:(?P<v6>[0-9A-Fa-f:.]+)|{_FUTURE})\]|{_NAME})(?::[0-9]*)?"
_PATH: Final = rf"(?:/(?:{_PCHAR}+(?:/{_PCHAR}*)*)?|{_PCHAR}+(?:/{_PCHAR}*)*)?"
_TAIL: Final = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:\#(?:{_PCHAR}|[/?])*)?"
_URI: Final = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:(?://{_AUTHORITY}(?:/{_PCHAR}*)*|{_PATH}){_TAIL}")
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_HEXTET: Final = re.compile(r"[0-9A-Fa-f]{1,4}")

_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME: Final = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))")
_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAY_MINUTES: Final = 24 * 60


def is_email(text: str) -> bool:
    """Whether ``text`` is one address: no display name, no address literal, no comment."""
    match = _EMAIL.fullmatch(text)
    if match is None:
        return False
    return len(match["local"]) <= LOCAL_LENGTH_MAX and len(match["domain"]) <= DOMAIN_LENGTH_MAX


def is_uri(text: str) -> bool:
    """Whether ``text`` is a URI with a scheme; a relative reference is not."""
    match = _URI.fullmatch(text)
    return match is not None and (match["v6"] is None or _is_ipv6(match["v6"]))


def is_date(text: str) -> bool:
    """Whether ``text`` is a full-date of the proleptic Gregorian calendar, years 0000 to 9999."""
    match = _DATE.fullmatch(text)
    if match is None:
        return False
    year, month, day = (int(part) for part in match.groups())
    return 1 <= month <= 12 and 1 <= day <= _days_in(year, month)


def is_date_time(text: str) -> bool:
    """Whether ``text`` is a date-time with an offset; second 60 only where UTC has 23:59:60."""
    if text[10:11] not in ("T", "t") or not is_date(text[:10]):
        return False
    match = _TIME.fullmatch(text, 11)
    if match is None:
        return False
    hour, minute, second = (int(part) for part in match.group(1, 2, 3))
    offset_hour, offset_minute = int(match[5] or 0), int(match[6] or 0)
    if hour > 23 or minute > 59 or second > 60 or offset_hour > 23 or offset_minute > 59:
        return False
    offset_minutes = (offset_hour * 60 + offset_minute) * (-1 if match[4] == "-" else 1)
    return second < 60 or (hour * 60 + minute - offset_minutes) % _DAY_MINUTES == _DAY_MINUTES - 1


def _days_in(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and leap else _DAYS[month - 1]


def _is_ipv6(text: str) -> bool:
    """RFC 3986 IPv6address: eight groups, the last two may be IPv4, one ``::`` stands for one or more."""
    head, gap, tail = text.partition("::")
    groups = [part for part in (head, tail) if part]
    pieces = ":".join(groups).split(":") if groups else []
    if "::" in tail or (gap and tail.startswith(":")):
        return False
    embedded = bool(pieces) and _V4.fullmatch(pieces[-1]) is not None and not (gap and not tail)
    hextets = pieces[:-1] if embedded else pieces
    count = len(hextets) + (2 if embedded else 0)
    return all(_HEXTET.fullmatch(piece) for piece in hextets) and (count <= 7 if gap else count == 8)
