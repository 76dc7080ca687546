"""A file, or the name of a shipped runsheet, to a typed runsheet with places and digest.

Rules
-----
1. Size is asked of the file system before a byte is read; at most ``SIZE_BYTES_MAX`` are.
2. The digest is SHA-256 over the canonical JSON (RFC 8785) of the typed runsheet: comments and layout do not
   change it, every value does. Sign-offs, certificates and runs are bound to it.
3. A file that exists wins over a shipped runsheet of the same name.
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec
import rfc8785

from crossfade.core.runsheets import FORMAT, Runsheet
from crossfade.runsheets.nodes import Node, YamlError, compose
from crossfade.runsheets.problems import START, Place, Problem
from crossfade.runsheets.reading import Reading

SIZE_BYTES_MAX: Final = 1 << 20
SHIPPED: Final = Path(__file__).parent / "shipped"


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A runsheet and where it came from."""

    runsheet: Runsheet
    places: dict[str, Place]
    """Dotted path to place, e.g. ``phases.1.steps.0.budget``; "" is the file."""
    digest: str
    """64 hexadecimal digits."""
    source: bytes
    file: str
    """As it is shown in messages."""

    def place(self, path: str) -> Place:
        """The place of a path, or of the nearest section around it if the file does not say it."""
        while path not in self.places:
            path = path.rpartition(".")[0]
        return self.places[path]


def shipped_names() -> tuple[str, ...]:
    """Names of the runsheets that ship."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def load(path_or_name: str) -> Loaded | list[Problem]:
    """Read a runsheet by path or shipped name; a list holds what is wrong, never empty."""
    path = Path(path_or_name)
    shipped = SHIPPED / f"{path_or_name.removesuffix('.yaml')}.yaml"
    if not path.exists() and path.name == path_or_name and shipped.exists():
        path = shipped
    name = path.name if path is shipped else path_or_name
    source = bytes_of(path, name, f"shipped: {', '.join(shipped_names())}")
    return [source] if isinstance(source, Problem) else parse(source, name)


def bytes_of(path: Path, name: str, hint: str) -> bytes | Problem:
    """What is in a file, if it is small enough; ``hint`` is for when there is no such file."""
    try:
        if not path.is_file():
            what = "is no file" if path.exists() else "there is no such file"
            return _whole("file.unreadable", name, what, hint)
        if path.stat().st_size > SIZE_BYTES_MAX:
            return _whole("file.too_large", name, f"larger than {SIZE_BYTES_MAX} bytes")
        with path.open("rb") as stream:
            return stream.read(SIZE_BYTES_MAX + 1)
    except OSError as fault:
        return _whole("file.unreadable", name, f"cannot be read: {fault.strerror}")


def tree_of(source: bytes, file: str) -> Node | Problem:
    """The tree of what is in a file."""
    if len(source) > SIZE_BYTES_MAX:
        return _whole("file.too_large", file, f"larger than {SIZE_BYTES_MAX} bytes")
    try:
        return compose(source.decode("utf-8-sig"))
    except UnicodeDecodeError as fault:
        return _whole("file.encoding", file, f"byte {fault.start} is not UTF-8", "save it as UTF-8")
    except YamlError as fault:
        return _problem(fault.code, file, fault.place, fault.message, fault.hint)


def parse(source: bytes, file: str = "runsheet.yaml") -> Loaded | list[Problem]:
    """The runsheet in ``source``; ``file`` is only what messages call it."""
    root = tree_of(source, file)
    if isinstance(root, Problem):
        if root.code == "yaml.empty":
            root = msgspec.structs.replace(root, hint="crossfade runsheet new writes one to start from")
        return [root]
    reading = Reading(file)
    runsheet = reading.typed(root, Runsheet)
    if runsheet is None:
        return sorted(reading.problems, key=lambda problem: (problem.line, problem.column))
    if runsheet.runsheet != FORMAT:
        said = f"format {runsheet.runsheet} is not known here"
        problem = _problem("format.unknown", file, reading.places["runsheet"], said, f"this version reads {FORMAT}")
        return [msgspec.structs.replace(problem, path="runsheet")]
    return Loaded(runsheet=runsheet, places=reading.places, digest=digest_of(runsheet), source=source, file=file)


def digest_of(runsheet: Runsheet) -> str:
    """SHA-256 of the canonical JSON of a runsheet, in hexadecimal."""
    return hashlib.sha256(rfc8785.dumps(msgspec.to_builtins(runsheet, str_keys=True))).hexdigest()


def _whole(code: str, file: str, message: str, hint: str = "") -> Problem:
    return _problem(code, file, START, message, hint)


def _problem(code: str, file: str, place: Place, message: str, hint: str) -> Problem:
    return Problem(code=code, file=file, line=place.line, column=place.column, path="", message=message, hint=hint)
