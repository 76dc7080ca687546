"""``log backup`` and ``log restore``: a copy of the log, and a hub's folder from a copy."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.options import PLAIN, Options, call, settings
from crossfade.cli.output import Output

if TYPE_CHECKING:
    from crossfade.core.values import Instant
    from crossfade.upkeep import Place

COPIED: Final = ("shard", "sequence")
RESTORED: Final = ("shard", "epoch", "sequence")
SPACE: Final = 1


def backup(
    folder: Annotated[Path, Parameter(help="A folder that does not exist yet, on this machine.")],
    *,
    options: Options = PLAIN,
) -> int:
    """Copy the log into a folder and verify the copy; a running hub makes it and goes on serving.

    Keys are not copied, only the public one: keep signing.key yourself. Exit code: 6 the log is damaged.
    """
    from crossfade.bootstrap import has_log
    from crossfade.engine.ports import LogError, LogInUseError
    from crossfade.upkeep import back_up_log

    if folder.exists():
        raise usage(f"{folder} exists already", "name a folder that does not exist yet")
    config = settings(options)
    try:
        if options.url is not None or not has_log(config):
            rows = _by_hub(options, folder)
        else:
            ends = asyncio.run(back_up_log(config, folder))
            rows = [{"shard": shard, "sequence": sequence} for shard, sequence, _ in ends]
    except LogInUseError:
        rows = _by_hub(options, folder)
    except LogError as error:
        raise _failed(error) from None
    Output(options).table(rows, COPIED)
    return Exit.OK


def restore(
    source: Annotated[Path, Parameter(help="A folder that `log backup` made.")],
    *,
    at: Annotated[
        str | None, Parameter(help="Keep what is not later: an instant, e.g. 2026-11-23T02:43:24Z, or SHARD:SEQUENCE.")
    ] = None,
    options: Options = PLAIN,
) -> int:
    """Make the folder named by --data from a copy, one epoch higher, and verify it by reading and folding it.

    Nothing is ever written over. What came after --at is forgotten: its questions are open again, and can be
    answered a second time. Without --at a copy that lacks records which the checkpoints know of is refused.
    """
    from crossfade.engine.ports import LogError
    from crossfade.upkeep import restore_log

    if options.data is None:
        raise usage("restore makes a new folder", "name it: --data FOLDER")
    try:
        ends = asyncio.run(restore_log(settings(options), source, None if at is None else point("--at", at)))
    except LogError as error:
        raise _failed(error) from None
    Output(options).table([dict(zip(RESTORED, end, strict=True)) for end in ends], RESTORED)
    return Exit.OK


def _by_hub(options: Options, folder: Path) -> list[dict[str, object]]:
    from crossfade.engine.ports import LogError
    from crossfade.upkeep import fetch_copy

    made = call(options, lambda api: api.backup())
    path = Path(str(made["path"]))
    if not path.is_dir():
        raise CommandError(
            "log.elsewhere", f"the hub made its copy on its own machine: {path}", "fetch it from there", Exit.OK
        )
    try:
        fetch_copy(path, folder)
    except LogError as error:
        raise _failed(error) from None
    ends = made["ends"]
    assert isinstance(ends, dict)
    return [{"shard": int(shard), "sequence": sequence} for shard, sequence in ends.items()]


def point(option: str, text: str) -> "Instant | Place":
    """The place or the instant that an option names. Raises CommandError."""
    from crossfade.core.values import Instant, Sequence, Shard
    from crossfade.upkeep import Place

    shard, colon, sequence = text.rpartition(":")
    try:
        if sequence.isdecimal() and (not colon or shard.isdecimal()):
            return Place(Shard(int(shard) if colon else SPACE), Sequence(int(sequence)))
        at = datetime.fromisoformat(text)
    except ValueError:
        examples = f"e.g. {option} 2026-11-23T02:43:24Z, {option} 1:4711"
        raise usage(f"{option} {text} is no place and no instant", examples) from None
    if at.tzinfo is None:
        raise usage(f"{option} {text} names no time zone", "write it in UTC, with a Z")
    seconds = at.astimezone(UTC).replace(microsecond=0).timestamp()
    return Instant(int(seconds) * 10**9 + at.microsecond * 1_000 + 999)


def _failed(error: Exception) -> CommandError:
    from crossfade.engine.ports import CorruptLogError

    if isinstance(error, CorruptLogError):
        return CommandError("log.damaged", str(error), "take an older copy; keep this one", Exit.FAILED)
    return CommandError("log.backup_failed", str(error), "see what it says; nothing was written over", Exit.REFUSED)
