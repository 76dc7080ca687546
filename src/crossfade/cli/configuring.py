"""``config`` and ``version``."""

import os
from typing import Annotated, Final

from cyclopts import Parameter

from crossfade import __version__
from crossfade.cli.exits import Exit
from crossfade.cli.options import PLAIN, Options
from crossfade.cli.output import Output, Row
from crossfade.config import FIELDS, SETTINGS, Loaded, Setting, load, type_word, value_of

SHOWN: Final = ("setting", "value", "unit")
HIDDEN: Final = "(secret)"
File = Annotated[str | None, Parameter(help="Configuration file; else CROSSFADE_CONFIG, else ./crossfade.toml.")]
_KINDS: Final = {"text": "string", "integer": "integer", "number": "number", "true | false": "boolean"}


def _loaded(options: Options, file: str | None) -> Loaded:
    return load(file=file, environ=os.environ, flags={"data_folder": options.data})


def show(
    *,
    origin: Annotated[bool, Parameter(negative="", help="Also say where each value comes from.")] = False,
    config: File = None,
    options: Options = PLAIN,
) -> int:
    """Show every setting as it applies here; secrets are hidden."""
    loaded = _loaded(options, config)
    fields = (*SHOWN, "origin") if origin else SHOWN
    rows: list[Row] = []
    for setting in SETTINGS:
        value = value_of(loaded.config, setting.name)
        shown = HIDDEN if setting.secret and value else value
        rows.append(
            {"setting": setting.name, "value": shown, "unit": setting.unit, "origin": loaded.origins[setting.name]}
        )
    Output(options).table(rows, fields)
    return Exit.OK


def check(*, config: File = None, options: Options = PLAIN) -> int:
    """Check the configuration: exit code 2 and the place if anything is wrong."""
    loaded = _loaded(options, config)
    changed = sum(1 for where in loaded.origins.values() if where != "default")
    Output(options).one({"valid": True, "settings": len(SETTINGS), "changed": changed})
    return Exit.OK


def schema(*, options: Options = PLAIN) -> int:
    """Print the JSON Schema of crossfade.toml."""
    import json

    text = json.dumps(settings_schema(), indent=None if options.machine else 2)
    print(text)
    return Exit.OK


def settings_schema() -> dict[str, object]:
    """JSON Schema (2020-12) of the configuration file, for editors."""
    tables: dict[str, dict[str, object]] = {"": {}}
    for setting in SETTINGS:
        section, _, leaf = setting.name.rpartition(".")
        tables.setdefault(section, {})[leaf] = _property(setting)
    top: dict[str, object] = tables.pop("")
    for section, properties in tables.items():
        top[section] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "crossfade.toml",
        "type": "object",
        "properties": top,
        "additionalProperties": False,
    }


def _property(setting: Setting) -> dict[str, object]:
    word = type_word(setting.name)
    found: dict[str, object] = {"description": setting.help, "default": FIELDS[setting.name][1]}
    if word == "list of text":
        found.update(type="array", items={"type": "string"})
    elif word in _KINDS:
        found["type"] = _KINDS[word]
    else:
        found.update(type="string", enum=word.split(" | "))
    if setting.low is not None:
        found["minimum"] = setting.low
    if setting.high is not None:
        found["maximum"] = setting.high
    return found


def version(*, options: Options = PLAIN) -> int:
    """Print the version."""
    if options.machine:
        Output(options).one({"version": __version__})
    else:
        print(f"crossfade {__version__}")
    return Exit.OK
