"""``signoff``: consent of specialists. Giving it is answering a question: ``inbox ls``, then ``answer``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.options import PLAIN, Limit, Options, call, seconds
from crossfade.cli.output import Output
from crossfade.client.api import Api
from crossfade.client.views import Object

FIELDS: Final = ("signoff_id", "status", "outcome", "subject", "missing", "deadline", "valid_until")
FLAGS: Final = ("status", "name", "share", "salt", "epoch")
"""What of the rollout is signed along."""
SignoffName = Annotated[str, Parameter(name="--signoff-id", help="Its id, as `signoff ls` prints it.")]
Why = Annotated[str, Parameter(help="Why; it goes into the log.")]


def ls(
    *,
    status: Annotated[str, Parameter(help="Only those: open, approved, stopped, stale …")] = "",
    limit: Limit = 100,
    options: Options = PLAIN,
) -> int:
    """List sign-offs, newest first."""
    rows = call(options, lambda api: api.signoffs({"status": status, "limit": limit}))
    Output(options).table(rows, FIELDS)
    return Exit.OK


def show(
    signoff_id: SignoffName,
    *,
    check: Annotated[bool, Parameter(negative="", help="End with 8 unless it holds now.")] = False,
    options: Options = PLAIN,
) -> int:
    """Show who signed what, what is missing, and until when it holds."""
    found = call(options, lambda api: api.signoff(signoff_id))
    Output(options).one(found)
    return Exit.UNSIGNED if check and found["status"] != "approved" else Exit.OK


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Facts:
    """What exactly is to be signed."""

    subject: Annotated[str, Parameter(help="What it is about, e.g. release/41.")]
    runsheet: Annotated[str, Parameter(help="Runsheet file, or the name of a shipped one.")]
    evidence: Annotated[Path, Parameter(help="File with the facts; kept by the hub, at most 256 KiB.")]
    summary: Annotated[str, Parameter(help="The facts in a few lines.")] = ""
    author: Annotated[list[str] | None, Parameter(negative="", help="Who made it, cannot sign; repeat it.")] = None


@Parameter(name="*")
@dataclass(frozen=True)
class Times:
    """Until when."""

    deadline: Annotated[str, Parameter(help="All have to have signed by then, from now.")] = "2d"
    valid: Annotated[str, Parameter(help="How long the consent counts, from now.")] = "14d"


USUAL: Final = Times()


def request(
    about: Annotated[str, Parameter(help="The question as people read it.")],
    *,
    role: Annotated[list[str], Parameter(negative="", help="security=ana,bo or, two of them, security=2:ana,bo,cy.")],
    facts: Facts,
    times: Times = USUAL,
    options: Options = PLAIN,
) -> int:
    """Ask the members of roles to sign exactly this runsheet and this evidence, in the present state of the rollout."""
    content = _content(facts.evidence)
    body: Object = {
        "subject": facts.subject,
        "about": about,
        "roles": dict(map(_role, role)),
        "authors": facts.author or [],
        "summary": facts.summary,
        "deadline_seconds": seconds(times.deadline),
        "valid_seconds": seconds(times.valid),
    }
    runsheet = runsheet_digest(facts.runsheet)

    async def work(api: Api) -> Object:
        state = msgspec.to_builtins(await api.rollout())
        flags = msgspec.json.encode({name: state[name] for name in FLAGS})
        parts = {
            "runsheet": runsheet,
            "evidence": await api.keep(content, "application/octet-stream"),
            "flags": await api.keep(flags, "application/json"),
        }
        return await api.request_signoff({**body, "parts": parts})

    Output(options).one(call(options, work))
    return Exit.OK


def withdraw(signoff_id: SignoffName, *, reason: Why = "", options: Options = PLAIN) -> int:
    """Take a sign-off back, also one that was given."""
    Output(options).one(call(options, lambda api: api.end_signoff(signoff_id, "withdraw", reason)))
    return Exit.OK


def stop(signoff_id: SignoffName, *, reason: Why, options: Options = PLAIN) -> int:
    """Emergency stop: you hold one of its roles and it must not go on, whoever has signed."""
    Output(options).one(call(options, lambda api: api.end_signoff(signoff_id, "stop", reason)))
    return Exit.OK


def runsheet_digest(path_or_name: str) -> str:
    """The digest of a runsheet. Raises CommandError with the first thing that is wrong with it."""
    from crossfade.runsheets.loader import load

    loaded = load(path_or_name)
    if isinstance(loaded, list):
        what = f"crossfade runsheet lint {path_or_name}"
        raise CommandError("runsheet.invalid", str(loaded[0]), what, Exit.USAGE)
    return loaded.digest


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError("usage.unreadable", f"{path}: {error.strerror}", "check the path", Exit.USAGE) from None


def _role(text: str) -> tuple[str, Object]:
    name, _, rest = text.partition("=")
    number, colon, members = rest.rpartition(":")
    names = [part.strip() for part in (members if colon else rest).split(",") if part.strip()]
    if not name or not names or (colon and not number.isdecimal()):
        raise usage(f"--role: {text!r} names no members", "write security=ana,bo or security=2:ana,bo,cy")
    return name, {"members": names, "quorum": int(number) if colon else 1}
