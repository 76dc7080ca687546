"""``log archive``: the oldest records of a log into files beside it, so that the log does not grow for ever."""

import asyncio
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.log_backup import SPACE, point
from crossfade.cli.options import PLAIN, Options, settings
from crossfade.cli.output import Output

ARCHIVED: Final = ("shard", "first", "last", "files", "folder")


def archive(
    *,
    before: Annotated[str, Parameter(help="An instant, e.g. 2026-10-01T00:00:00Z, or the sequence of a record.")],
    to: Annotated[Path, Parameter(help="The folder of the archive; always the same one for one log.")],
    options: Options = PLAIN,
) -> int:
    """Move what is older than --before into files that anybody can verify, and cut it off the log of a stopped hub.

    What is younger than 30 days stays, and everything from the first question on that had no end by then. The files
    are read again before anything is cut off. Keep the folder where it is: verify, export and restore read it.
    """
    from crossfade.bootstrap import has_log
    from crossfade.core.values import Shard
    from crossfade.engine.ports import CorruptLogError, LogError, LogInUseError
    from crossfade.upkeep import Place, archive_log

    config, limit = settings(options), point("--before", before)
    if isinstance(limit, Place) and limit.shard != Shard(SPACE):
        raise usage("only shard 1 is archived", "name a record of shard 1, or an instant")
    if not has_log(config):
        raise CommandError(
            "log.missing", f"there is no log in {config.data_path}", "name its folder: --data", Exit.USAGE
        )
    try:
        start, end, files = asyncio.run(archive_log(config, limit, to))
    except LogInUseError as error:
        raise CommandError("log.in_use", str(error), "stop the hub first", Exit.CONFLICT) from None
    except CorruptLogError as error:
        raise CommandError("log.damaged", str(error), "restore from a copy; keep this folder", Exit.FAILED) from None
    except LogError as error:
        raise CommandError(
            "log.not_archived", str(error), "see what it says; the log is as it was", Exit.REFUSED
        ) from None
    except OSError as error:
        what = f"{to}: {error.strerror}"
        raise CommandError("log.unwritable", what, "make room there; the log is as it was", Exit.ERRORED) from None
    row = {"shard": SPACE, "first": start + 1, "last": end, "files": len(files), "folder": str(to)}
    Output(options).table([row], ARCHIVED)
    return Exit.OK
