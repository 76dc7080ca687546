"""``connect``: what to run or write so that a client uses this hub; ``--write`` does it, ``--undo`` takes it back.

The files are the clients' own, in the folder where the command runs (Codex: in its home). Only the entry
``crossfade`` is touched. No secret is written: the entries name the variable CROSSFADE_TOKEN.

Sources: the clients' documentation of their MCP configuration (Claude Code ``.mcp.json``, Cursor
``.cursor/mcp.json``, VS Code ``.vscode/mcp.json``, Codex ``config.toml``).
"""

import difflib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from cyclopts import Parameter

from crossfade.cli.exits import CommandError, Exit, usage
from crossfade.cli.options import PLAIN, Options, credential, hub_url
from crossfade.cli.output import Output

NAME: Final = "crossfade"
Entry = dict[str, object]


class Place(NamedTuple):
    """A client's configuration file."""

    path: str
    table: str
    """Key under which servers are listed."""
    variable: str
    """How the client writes an environment variable."""
    typed: bool
    """The entry says ``"type": "http"``."""


JSON_FILES: Final = {
    "claude-code": Place(".mcp.json", "mcpServers", "${CROSSFADE_TOKEN}", typed=True),
    "cursor": Place(".cursor/mcp.json", "mcpServers", "${env:CROSSFADE_TOKEN}", typed=False),
    "vscode": Place(".vscode/mcp.json", "servers", "${env:CROSSFADE_TOKEN}", typed=True),
}
CLIENTS: Final = ("claude-code", "cursor", "vscode", "codex", "json", "python")


def connect(
    client: Annotated[str, Parameter(help="claude-code, cursor, vscode, codex, json or python.")],
    *,
    write: Annotated[bool, Parameter(negative="", help="Write it into the client's file and show the change.")] = False,
    undo: Annotated[bool, Parameter(negative="", help="Take it out of the client's file again.")] = False,
    options: Options = PLAIN,
) -> int:
    """Connect CLIENT to this hub: print what to run or write, or write it."""
    if client not in CLIENTS:
        near = difflib.get_close_matches(client, CLIENTS, 1)
        raise usage(f"no client is called {client!r}", f"did you mean {near[0]}?" if near else ", ".join(CLIENTS))
    url = hub_url(options)
    secured = credential(options, url) is not None and options.acting is None and _needs_token(url)
    output = Output(options)
    if write or undo:
        return _change(client, url, output, secured=secured, undo=undo)
    lines = lines_for(client, url, secured=secured)
    if options.machine:
        output.one({"client": client, "url": f"{url}/mcp", "lines": lines})
    else:
        print("\n".join(lines))
    return Exit.OK


def _needs_token(url: str) -> bool:
    """A hub on this machine admits guests; elsewhere a token is needed."""
    return not re.match(r"http://(127\.0\.0\.1|localhost|\[::1\])[:/]", url + "/") or "CROSSFADE_TOKEN" in os.environ


def lines_for(client: str, url: str, *, secured: bool = False) -> list[str]:
    """What a person runs, or puts into the client's file."""
    if client == "claude-code":
        header = ' --header "Authorization: Bearer $CROSSFADE_TOKEN"' if secured else ""
        return [f"claude mcp add --transport http {NAME} {url}/mcp{header}"]
    if client == "codex":
        variable = " --bearer-token-env-var CROSSFADE_TOKEN" if secured else ""
        return [f"codex mcp add {NAME} --url {url}/mcp{variable}"]
    if client == "python":
        return [
            "from crossfade import Agent",
            f'async with Agent("planner", url="{url}") as me:',
            '    a = await me.ask("reviewer", "Ship build 41?", choices=["ship", "hold"])',
        ]
    place = JSON_FILES.get(client) or JSON_FILES["claude-code"]
    document = {place.table: {NAME: _entry(place, url, secured=secured)}}
    if client == "json":
        return json.dumps(document, indent=2).splitlines()
    return [f"{place.path}: {json.dumps(document)}", f"or: crossfade connect {client} --write"]


def _entry(place: Place, url: str, *, secured: bool) -> Entry:
    entry: Entry = {"type": "http"} if place.typed else {}
    entry["url"] = f"{url}/mcp"
    if secured:
        entry["headers"] = {"Authorization": f"Bearer {place.variable}"}
    return entry


# --- changing the client's file ---------------------------------------------------------------------


def _change(client: str, url: str, output: Output, *, secured: bool, undo: bool) -> int:
    if client in JSON_FILES:
        place = JSON_FILES[client]
        path = Path(place.path)
        before = _read(path)
        after = _json_changed(path, before, place, None if undo else _entry(place, url, secured=secured))
    elif client == "codex":
        path = Path(os.environ.get("CODEX_HOME") or Path.home() / ".codex") / "config.toml"
        before = _read(path)
        after = _toml_changed(before, None if undo else url, secured=secured)
    else:
        raise usage(f"{client} has no file to write", f"crossfade connect {client}")
    if before != after:
        _write(path, after)
    diff = list(difflib.unified_diff(before.splitlines(), after.splitlines(), str(path), str(path), lineterm=""))
    if output.options.machine:
        output.one({"client": client, "path": str(path), "changed": before != after, "diff": diff})
    else:
        print("\n".join(diff) if diff else f"{path}: nothing to change")
    return Exit.OK


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8") if path.exists() else ""
    except OSError as error:
        raise CommandError("connect.unreadable", f"{path}: {error.strerror}", "check its permissions") from None


def _write(path: Path, text: str) -> None:
    """Write the file, or remove it when nothing is left of it."""
    try:
        if not text:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise CommandError("connect.unwritable", f"{path}: {error.strerror}", "check its permissions") from None


def _json_changed(path: Path, before: str, place: Place, entry: Entry | None) -> str:
    try:
        document = json.loads(before) if before.strip() else {}
        servers = document.setdefault(place.table, {})
        servers.pop(NAME, None)
    except (ValueError, AttributeError):
        hint = f"add it by hand: crossfade connect json, under {place.table!r}"
        raise CommandError("connect.not_json", f"{path} is not a plain JSON object", hint) from None
    if entry is not None:
        servers[NAME] = entry
    if not servers:
        del document[place.table]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n" if document else ""


def _toml_changed(before: str, url: str | None, *, secured: bool) -> str:
    """Codex' file is TOML with comments worth keeping, so only our own table is cut out or added."""
    rest = re.sub(rf"(?ms)^\[mcp_servers\.{NAME}\]\n.*?(?=^\[|\Z)", "", before)
    if url is None:
        return rest.rstrip("\n") + "\n" if rest.strip() else ""
    token = 'bearer_token_env_var = "CROSSFADE_TOKEN"\n' if secured else ""
    table = f'[mcp_servers.{NAME}]\nurl = "{url}/mcp"\n{token}'
    return (rest.rstrip("\n") + "\n\n" if rest.strip() else "") + table
