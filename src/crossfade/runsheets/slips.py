"""What a lint rule yields: a slip, with its path; the place in the file is added later."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from crossfade.runsheets.problems import Severity, did_you_mean


class Slip(NamedTuple):
    """One thing that makes no sense."""

    code: str
    path: str
    message: str
    hint: str = ""
    severity: Severity = "error"


def unknown(code: str, path: str, given: str, known: Iterable[str], what: str) -> Iterator[Slip]:
    """A slip if ``given`` is not among ``known``; nothing if it is, or is empty."""
    words = list(known)
    if given and given not in words:
        yield Slip(code, path, f"there is no {what} {given!r}", did_you_mean(given, words))


def twice(path: str, ids: Iterable[str], what: str) -> Iterator[Slip]:
    """A slip for every id that stands twice in one list."""
    seen: set[str] = set()
    for index, name in enumerate(ids):
        if name in seen:
            yield Slip("duplicate_id", f"{path}.{index}.id", f"the {what} {name!r} stands here twice")
        seen.add(name)
