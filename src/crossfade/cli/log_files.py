"""``log verify`` and ``log export``, and reading a log that no hub serves: a folder or an export.

A folder that a hub is using is reached through the hub. Verifying one that is not uses the verifier that shares
nothing with the server (crossfade_verify), besides the server's own check of the head.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, TypeVar

import msgspec
from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.options import PLAIN, Options, call, settings
from crossfade.cli.output import Output, Row
from crossfade.client.api import Api
from crossfade.config import Config

T = TypeVar("T")
VERIFIED: Final = ("shard", "records", "first_bad", "what")
AS_SENT: Final = ("shard", "sequence", "stream", "version", "type", "actor", "cause", "key", "chain")


def verify(
    path: Annotated[Path | None, Parameter(help="An export, or the folder of a stopped hub.")] = None,
    *,
    checkpoints: Annotated[Path | None, Parameter(help="Hold PATH to the checkpoints of this folder, too.")] = None,
    options: Options = PLAIN,
) -> int:
    """Check chain, checkpoints and story of a log: of a path, of the hub's folder, or of a running hub by itself.

    Exit code: 0 every record is as it was written, 6 not, 2 there is no log.
    """
    from crossfade.bootstrap import has_log, verify_log

    config = settings(options)
    if checkpoints is not None and (path is None or not checkpoints.is_dir()):
        raise usage(f"{checkpoints} holds nothing to hold a log to", "name PATH, and a folder that is there")
    if path is not None:
        rows = _verdicts(path, checkpoints or (config.checkpoint_path if path == config.data_path else None))
    elif options.url is not None:
        rows = call(options, _verified_by_hub)
    elif not has_log(config):  # nothing to check is not a log that was checked
        what = f"there is no log in {config.data_path}"
        raise CommandError("log.missing", what, "name its folder: --data", Exit.USAGE)
    else:
        try:
            with _faults():
                ends = asyncio.run(verify_log(config))
        except BlockingIOError as fault:
            rows = _through_hub(options, str(fault), _verified_by_hub)
        else:
            rows = [{"shard": shard, "records": records, "first_bad": bad, "what": ""} for shard, records, bad in ends]
            if not any(row["first_bad"] for row in rows):
                rows = _verdicts(config.data_path, config.checkpoint_path)
    Output(options).table(rows, VERIFIED)
    return Exit.FAILED if any(row["first_bad"] is not None for row in rows) else Exit.OK


def export(
    file: Annotated[Path, Parameter(help="Where to write it; not over a file that exists.")],
    *,
    options: Options = PLAIN,
) -> int:
    """Write every record, the checkpoints and the public key as lines of JSON; crossfade-verify checks them."""
    config = settings(options)
    try:
        with file.open("xb") as out:
            records = _export(config, options, out)
    except OSError as error:
        hint = "name a file that does not exist yet"
        if not isinstance(error, FileExistsError):
            file.unlink(missing_ok=True)
            hint = "see that there is room for it, and that the folder can be written to"
        raise CommandError("log.unwritable", f"{file}: {error.strerror}", hint, Exit.USAGE) from None
    except CommandError:
        file.unlink()
        raise
    Output(options).one({"file": str(file), "records": records})
    return Exit.OK


def _export(config: Config, options: Options, out: BinaryIO) -> int:
    from crossfade.bootstrap import has_log
    from crossfade.upkeep import export_log

    if options.url is not None or not has_log(config):
        return call(options, lambda api: _exported_by_hub(api, out))
    try:
        with _faults():
            return asyncio.run(export_log(config, out))
    except BlockingIOError as fault:
        return _through_hub(options, str(fault), lambda api: _exported_by_hub(api, out))


def heads_of(path: Path) -> list[Row]:
    """The end of every shard of an export or a folder."""
    with opened(path) as log:
        return [
            {"shard": number, "epoch": shard.epoch, "sequence": shard.head[0], "chain": shard.head[1].hex()}
            for number, shard in sorted(log.shards.items())
        ]


def records_of(path: Path, shard: int, fields: Sequence[str] = ()) -> Iterator[Row]:
    """The records of a shard as the hub would show them, from an export or a folder."""
    from crossfade.engine.views.instants import iso

    with opened(path) as log:
        for row in log.rows:
            if row.shard == shard:
                event = msgspec.json.decode(row.payload) if row.payload[:1] == b"{" else row.payload.hex()
                shown = row._asdict() | {"at": iso(row.at), "event": event, "chain": row.chain.hex()}
                shown |= {"at_nanoseconds": row.at, "key": row.key.hex()}
                del shown["payload"]
                yield {name: shown[name] for name in fields} if fields else shown


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A log that is not served, for reading."""
    from contextlib import ExitStack

    from crossfade_verify import Log

    with ExitStack() as stack:
        try:
            yield Log(path, None, stack)
        except BlockingIOError:
            raise CommandError(
                "log.in_use", f"a hub is using {path}", "leave out --from: the hub answers", Exit.CONFLICT
            ) from None
        except (OSError, ValueError) as error:
            hint = "name an export or a data folder"
            raise CommandError("log.missing", f"{path}: {error}", hint, Exit.USAGE) from None


def _through_hub(options: Options, in_use: str, work: Callable[[Api], Awaitable[T]]) -> T:
    """Ask the hub that has the folder, if it is where it should be."""
    try:
        return call(options, work)
    except CommandError as error:
        if error.exit_code is not Exit.UNREACHABLE:
            raise
        raise CommandError("log.in_use", in_use, "say where its hub is: --url", Exit.CONFLICT) from None


def _verdicts(path: Path, checkpoints: Path | None) -> list[dict[str, object]]:
    from crossfade_verify import verify as check

    if checkpoints is not None and not checkpoints.is_dir() and any(path.glob("*.last.checkpoints")):
        what = f"the second place is gone: {checkpoints}"
        raise CommandError("log.unwitnessed", what, "put it back; the hub does not start without it", Exit.FAILED)
    try:
        found = check(path, checkpoints)
    except BlockingIOError:
        raise CommandError("log.in_use", f"a hub is using {path}", "leave the path out", Exit.CONFLICT) from None
    except (OSError, ValueError) as error:
        raise CommandError("log.missing", str(error), "name an export or a data folder", Exit.USAGE) from None
    if not any(found.records.values()) and not found.findings:  # nothing that was looked at is nothing that holds
        raise CommandError("log.missing", f"{path} holds no record", "name an export or a data folder", Exit.USAGE)
    rows: list[dict[str, object]] = []
    for shard, records in found.records.items():
        findings = [finding for finding in found.findings if finding.shard == shard]
        rows += [
            {"shard": shard, "records": records, "first_bad": finding.sequence, "what": finding.what}
            for finding in findings
        ] or [{"shard": shard, "records": records, "first_bad": None, "what": ""}]
    return rows


async def _verified_by_hub(api: Api) -> list[dict[str, object]]:
    rows = []
    for end in await api.log_head():
        shard, after = _number(end["shard"]), 0
        while True:
            part = await api.verify_log(shard, after)
            after = _number(part["through"])
            if part["first_bad"] is not None or after >= _number(part["end"]):
                break
        rows.append({"shard": shard, "records": after, "first_bad": part["first_bad"], "what": ""})
    return rows


async def _exported_by_hub(api: Api, out: BinaryIO) -> int:
    notes = [await api.checkpoints(_number(end["shard"])) for end in await api.log_head()]
    ends = await api.log_head()
    lines = [line for note in notes for line in msgspec.convert(note["checkpoints"], list[str])]
    top = {"format": "crossfade-export/1", "public_key": notes[0]["public_key"], "shards": ends, "checkpoints": lines}
    out.write(msgspec.json.encode(top) + b"\n")
    for end in ends:
        shard, after, last = _number(end["shard"]), 0, _number(end["sequence"])
        while after < last:
            for record in (await api.whole_records(shard, after))[: last - after]:
                columns: dict[str, object] = {name: record[name] for name in AS_SENT}
                columns |= {"at": record["at_nanoseconds"], "payload": bytes(record["event"]).decode()}
                out.write(msgspec.json.encode(columns) + b"\n")
                after += 1
    return sum(_number(end["sequence"]) for end in ends)


def _number(value: object) -> int:
    return msgspec.convert(value, int)


@contextmanager
def _faults() -> Iterator[None]:
    """The log's own faults as the command line says them. Raises BlockingIOError while a hub has the folder."""
    from crossfade.engine.ports import LogError, LogInUseError

    try:
        yield
    except LogInUseError as error:
        raise BlockingIOError(str(error)) from None
    except LogError as error:
        raise CommandError("log.damaged", str(error), "restore from a copy; keep this folder", Exit.FAILED) from None
