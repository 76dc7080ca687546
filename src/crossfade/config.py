"""The settings of one hub: their defaults, units, bounds and help, and how they are put together.

Not here: reading the process environment (the caller passes it in), starting anything.

Rules
-----
1. Later wins: default < ``crossfade.toml`` < environment < flag. Each value remembers where it came from.
2. Nothing is guessed: an unknown name, a wrong type and a value out of bounds are errors that name the place.
3. ``SETTINGS`` describes every field of ``Config`` once; help, schema, reference page and checks come from it.

Environment: ``CROSSFADE_PORT``, nested ``CROSSFADE_LIMITS__AGENTS_MAX``, secrets also ``CROSSFADE_SEAL_KEY_FILE``.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

from crossfade.engine.limits import Limits

DEFAULT_FILE: Final = "crossfade.toml"
PREFIX: Final = "CROSSFADE_"
CLIENT_VARIABLES: Final = frozenset({"URL", "TOKEN", "TOKEN_FILE", "CONFIG", "COLOR", "AGENT", "KEY"})
"""Read by the command line and the SDK, not settings of a hub; KEY is what steps of a run find (outbound/steps.py)."""
ORCHESTRATOR: Final = re.compile(r"SERVICE_(HOST|PORT).*|PORT_\d+_.*")
"""What Kubernetes injects for a service that is called ``crossfade``; none of it is meant for us."""
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

LogKind = Literal["sqlite", "memory"]
Verbosity = Literal["debug", "info", "warning", "error"]
Scalar = str | int | float | bool | tuple[str, ...]


class ConfigError(Exception):
    """The settings cannot be used. Two lines: what is wrong and where, and what to do."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a hub is told when it starts. ``SETTINGS`` says what each field means."""

    host: str = "127.0.0.1"
    port: int = 8765
    data_folder: str = "./.crossfade"
    checkpoint_folder: str = ""
    public_url: str = ""
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    guests: bool = False
    log: LogKind = "sqlite"
    body_bytes_max: int = 1_048_576
    connections_max: int = 18_000
    listeners: int = 16
    drain_seconds: float = 10.0
    seal_key: str = ""
    verbosity: Verbosity = "info"
    limits: Limits = Limits()

    @property
    def data_path(self) -> Path:
        """The data folder as a path."""
        return Path(self.data_folder)

    @property
    def checkpoint_path(self) -> Path:
        """Where the log's signed checkpoints are kept."""
        return Path(self.checkpoint_folder) if self.checkpoint_folder else self.data_path / "checkpoints"

    @property
    def operator_token_path(self) -> Path:
        """Where the local operator's token is kept (mode 0600)."""
        return self.data_path / "operator.token"

    @property
    def kill_path(self) -> Path:
        """The kill file: while it exists the share is 0 (DESIGN.md §6)."""
        return self.data_path / "KILL"

    @property
    def loopback(self) -> bool:
        """Nobody on another machine can reach the address."""
        return self.host in LOOPBACK

    @property
    def url(self) -> str:
        """How clients reach the hub: ``public_url``, else host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url.rstrip("/") or f"http://{host}:{self.port}"


class Setting(msgspec.Struct, frozen=True):
    """What one setting means. Type and default are those of the field it names."""

    name: str
    """Dotted, as in TOML: ``port``, ``limits.agents_max``."""
    help: str
    low: float | None = None
    high: float | None = None
    secret: bool = False
    """Never printed; may come from a file."""

    @property
    def unit(self) -> str:
        """The unit, which is the last word of the name that is one; empty for words and switches."""
        words = self.name.rpartition(".")[2].split("_")
        return next((word for word in reversed(words) if word in UNITS), "")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.name.upper().replace(".", "__")


UNITS: Final = ("seconds", "bytes", "items", "connections", "questions", "agents", "commits", "events", "rows", "hops")
DAY: Final = 86_400

SETTINGS: Final = (
    Setting("host", "Address to listen on. Anything but loopback needs tokens and public_url (crossfade serve)."),
    Setting("port", "TCP port to listen on; 0 takes a free one.", 0, 65_535),
    Setting("data_folder", "Folder of the log, keys and the operator's token. One hub at a time may use it."),
    Setting("checkpoint_folder", "Folder of the log's signed checkpoints, best on another disk; empty: next to it."),
    Setting("public_url", "URL under which clients reach the hub, e.g. https://hub.example.org; empty on loopback."),
    Setting("allowed_hosts", "Further Host headers that are accepted; public_url and loopback always are."),
    Setting("allowed_origins", "Further values of the Origin header that are accepted from browsers."),
    Setting("guests", "Admit clients without a token, named from clientInfo. Only on a loopback address."),
    Setting("log", "Where the log is kept: sqlite (durable) or memory (lost at exit)."),
    Setting("body_bytes_max", "Largest request body; longer ones get 413.", 1_024, 67_108_864),
    Setting("connections_max", "Open connections; further ones get 503.", 1, 1_000_000),
    Setting("listeners", "Listening sockets that share the port, for storms of reconnects.", 1, 64),
    Setting("drain_seconds", "Time for calls under way to finish at shutdown.", 0, 600),
    Setting("seal_key", "Seals state handed to clients; empty: made once and kept in the data folder.", secret=True),
    Setting("verbosity", "What the hub says on stderr: debug, info, warning or error."),
    Setting("limits.wait_seconds_max", "Longest wait of one call; clients give up at 60 s.", 0.05, 300),
    Setting("limits.wait_seconds_default", "Wait of a call that does not say how long.", 0.05, 300),
    Setting("limits.poll_seconds_max", "Largest timeout_seconds that wait_for_messages accepts.", 1, 3_600),
    Setting("limits.deadline_seconds_default", "Time to answer a question that names none.", 1, 365 * DAY),
    Setting("limits.deadline_seconds_max", "Longest time to answer a question may give.", 1, 365 * DAY),
    Setting("limits.message_bytes_max", "Text of a question or a message.", 256, 16_777_216),
    Setting("limits.metadata_bytes_max", "Metadata of a question or a message.", 2, 1_048_576),
    Setting("limits.schema_bytes_max", "Schema of a question.", 64, 1_048_576),
    Setting("limits.content_bytes_max", "Content of an answer.", 64, 16_777_216),
    Setting("limits.fan_out_max", "Recipients of one message.", 1, 10_000),
    Setting("limits.hops_max", "Length of a reply_to chain.", 1, 1_000),
    Setting("limits.page_items_max", "Items in one batch, page or listing.", 1, 10_000),
    Setting("limits.open_questions_per_agent_max", "Open questions asked by, and put to, one agent.", 1, 1_000_000),
    Setting("limits.mailbox_items_max", "Unacknowledged items of one recipient.", 1, 10_000_000),
    Setting("limits.agents_max", "Agents a hub knows.", 1, 10_000_000),
    Setting("limits.commands_per_second_max", "Asks, sends and answers of one agent a second.", 0.1, 1_000_000),
    Setting("limits.pending_commits_max", "Commands waiting for the disk; further ones get 503.", 1, 10_000_000),
    Setting("limits.events_per_batch_max", "Events written in one go.", 1, 100_000),
    Setting("limits.lease_seconds", "Silence after which an agent counts as away.", 1, DAY),
    Setting("limits.native_patience_seconds", "Silence after which a native question goes out as text too.", 0.05, DAY),
    Setting("limits.blink_seconds", "A person's client that declines sooner did it by itself.", 0, 60),
    Setting("limits.ended_questions_kept", "Ended questions held in memory.", 0, 10_000_000),
    Setting("limits.stream_items_max", "Items waiting for a slow stream reader before it is cut.", 1, 1_000_000),
    Setting("limits.undo_seconds", "After removal, how long the kill switch can bring polling back.", 0, 365 * DAY),
    Setting("limits.check_seconds", "Length of a block of measurements.", 1, 3_600),
    Setting("limits.retries_max", "Attempts at a command that keeps losing the race for its stream.", 1, 1_000),
)


class Loaded(msgspec.Struct, frozen=True):
    """A configuration and where each of its values came from."""

    config: Config
    origins: dict[str, str]
    """Setting → ``default``, ``crossfade.toml:3``, ``env CROSSFADE_PORT`` or ``flag --port``."""


# --- fields, types, values --------------------------------------------------------------------------


def _fields(struct: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, object, Scalar]]:
    """Dotted name, type and default of every leaf."""
    for field in msgspec.structs.fields(struct):
        if isinstance(field.default, msgspec.Struct):
            yield from _fields(type(field.default), f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field.type, field.default


FIELDS: Final = {name: (kind, default) for name, kind, default in _fields(Config)}


def type_word(name: str) -> str:
    """The type of a setting in words, e.g. ``integer`` or ``sqlite | memory``."""
    kind = FIELDS[name][0]
    if get_origin(kind) is Literal:
        return " | ".join(get_args(kind))
    return {str: "text", int: "integer", float: "number", bool: "true | false"}.get(kind, "list of text")  # type: ignore[call-overload, no-any-return]


def _wrong(setting: Setting, value: object, where: str, need: str) -> ConfigError:
    shown = "the value" if setting.secret else repr(value)
    return ConfigError("config.value", f"{where}: {setting.name}: {shown} is not {need}", f"{setting.help}")


def _from_text(kind: object, text: str) -> object:
    """Read a value of the environment or of a flag; raises ValueError."""
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
            raise ValueError
        return text.lower() in ("true", "1", "yes", "on")
    if kind is int:
        return int(text)
    if kind is float:
        return float(text)
    if get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _value(setting: Setting, raw: object, where: str) -> Scalar:
    """``raw`` as the setting's type and within its bounds."""
    kind = FIELDS[setting.name][0]
    try:
        textual = isinstance(raw, str) and not where.startswith("file ")
        value = _from_text(kind, raw) if textual and isinstance(raw, str) else raw
        value = msgspec.convert(value, kind)
    except (ValueError, msgspec.ValidationError):
        raise _wrong(setting, raw, where.removeprefix("file "), type_word(setting.name)) from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = setting.low, setting.high
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            need = f"between {low:,} and {high:,} {setting.unit}".rstrip()
            raise _wrong(setting, value, where.removeprefix("file "), need)
    return value  # type: ignore[no-any-return]


def _setting(name: str, where: str) -> Setting:
    """The setting called ``name``; raises ConfigError that names the nearest ones."""
    found = next((setting for setting in SETTINGS if setting.name == name), None)
    if found is not None:
        return found
    near = difflib.get_close_matches(name, [setting.name for setting in SETTINGS], 1, 0.6)
    hint = f"did you mean {near[0]}?" if near else "crossfade config schema lists every setting"
    raise ConfigError("config.unknown", f"{where}: no setting is called {name!r}", hint)


# --- sources ----------------------------------------------------------------------------------------


def _lines(text: str) -> dict[str, int]:
    """Line of every ``name =`` in a TOML text, by dotted name. Only for messages, so a rough reading will do."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[([^\[\]]+)\]", line):
            table = head[1].strip() + "."
            found.setdefault(table[:-1], number)
        elif pair := re.match(r"""\s*["']?([\w.-]+)["']?\s*=""", line):
            found.setdefault(table + pair[1], number)
    return found


def _flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict) and any(name.startswith(f"{prefix}{key}.") for name in FIELDS):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _parse(path: Path) -> tuple[dict[str, object], str]:
    """The file as a table and as text. Raises ConfigError with line and column."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        what = f"{path}: {error.strerror}"
        raise ConfigError("config.unreadable", what, "check the path and its permissions") from None
    except UnicodeDecodeError:
        raise ConfigError("config.damaged", f"{path}: not UTF-8 text", "write the file again as UTF-8") from None
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        line, column = (place[1], place[2]) if place else (str(text.count("\n") + 1), "1")
        what = f"{path}:{line}:{column}: {re.sub(r' [(]at .*[)]', '', str(error))}"
        raise ConfigError("config.damaged", what, "correct the file, then: crossfade config check") from None


def _file_values(path: Path) -> Iterator[tuple[Setting, Scalar, str]]:
    table, text = _parse(path)
    lines = _lines(text)
    for name, raw in _flat(table):
        line = lines.get(name) or lines.get(name.rpartition(".")[0]) or 1
        place = f"{path}:{line}"
        setting = _setting(name, place)
        yield setting, _value(setting, raw, f"file {place}"), place


def _secret_file(setting: Setting, variable: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        message = f"env {variable}: cannot read {path}"
        raise ConfigError("config.unreadable", message, f"make the file readable; it holds {setting.name}") from None


def _environment_values(environ: Mapping[str, str]) -> Iterator[tuple[Setting, Scalar, str]]:
    secret_files = {f"{setting.variable}_FILE": setting for setting in SETTINGS if setting.secret}
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        rest, raw = variable[len(PREFIX) :], environ[variable]
        if rest in CLIENT_VARIABLES or ORCHESTRATOR.fullmatch(rest) or (rest == "PORT" and "://" in raw):
            continue
        where = f"env {variable}"
        if setting := secret_files.get(variable):
            yield setting, _value(setting, _secret_file(setting, variable, raw), where), where
            continue
        setting = _setting(rest.lower().replace("__", "."), where)
        yield setting, _value(setting, raw, where), where


def _flag_values(flags: Mapping[str, object]) -> Iterator[tuple[Setting, Scalar, str]]:
    for name, raw in flags.items():
        if raw is not None:
            where = f"flag --{name.rpartition('.')[2].replace('_', '-')}"
            setting = _setting(name, where)
            yield setting, _value(setting, raw, where), where


# --- the whole --------------------------------------------------------------------------------------


def _check(config: Config, origins: Mapping[str, str]) -> None:
    """What no single setting can say. Raises ConfigError."""
    limits = config.limits
    ordered = (
        ("wait_seconds", limits.wait_seconds_default, limits.wait_seconds_max),
        ("deadline_seconds", limits.deadline_seconds_default, limits.deadline_seconds_max),
    )
    for stem, value, bound in ordered:
        name, bound_name = f"limits.{stem}_default", f"limits.{stem}_max"
        if value > bound:
            message = f"{origins[name]}: {name} is {value}, above {bound_name} = {bound} ({origins[bound_name]})"
            raise ConfigError("config.value", message, f"lower {name} or raise {bound_name}")
    url = urlsplit(config.public_url)
    if config.public_url and (url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment):
        message = f"{origins['public_url']}: public_url: {config.public_url!r} is not an http(s) URL"
        raise ConfigError("config.value", message, "write it like https://hub.example.org")
    if config.guests and not config.loopback:
        message = f"{origins['guests']}: guests are admitted without a token, so not on {config.host}"
        raise ConfigError("config.value", message, "set guests = false and mint tokens: crossfade token new NAME")


def _build(values: Mapping[str, Scalar]) -> Config:
    nested: dict[str, dict[str, Scalar]] = {}
    for name, value in values.items():
        section, _, leaf = name.rpartition(".")
        nested.setdefault(section, {})[leaf] = value
    return msgspec.convert({**nested.pop("", {}), **nested}, Config)


def load(
    *, file: str | None = None, environ: Mapping[str, str], flags: Mapping[str, object], folder: Path = Path()
) -> Loaded:
    """Put the settings together.

    ``file`` must exist when given (or named by ``CROSSFADE_CONFIG``); otherwise ``crossfade.toml`` in
    ``folder`` is read if it is there. ``flags`` maps settings to values; None means not given. Raises ConfigError.
    """
    values: dict[str, Scalar] = {}
    origins = {setting.name: "default" for setting in SETTINGS}
    named = file or environ.get(PREFIX + "CONFIG")
    path = Path(named) if named else folder / DEFAULT_FILE
    sources = [_environment_values(environ), _flag_values(flags)]
    if named or path.exists():
        sources.insert(0, _file_values(path))
    for source in sources:
        for setting, value, where in source:
            values[setting.name], origins[setting.name] = value, where
    config = _build(values)
    _check(config, origins)
    return Loaded(config, origins)


def value_of(config: Config, name: str) -> Scalar:
    """The value of a setting by its dotted name."""
    found: object = config
    for part in name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[return-value]
