"""The JSON Schema of a runsheet file, for editors; written from the types of core/runsheets.py.

It accepts what an editor's YAML reader makes of a file that the loader accepts: a number may be written ``5%``, a
duration is ISO 8601 text, and a text may look like a number.
"""

from typing import Final

import msgspec

from crossfade.core.runsheets import Runsheet
from crossfade.runsheets import scalars

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
Json = dict[str, object]
_PATTERNS: Final = {
    "duration": scalars.DURATION,
    "partial-time": scalars.CLOCK,
    "date": scalars.DAY,
}


def schema() -> Json:
    """JSON Schema (2020-12) of a runsheet."""
    (whole,), parts = msgspec.json.schema_components([Runsheet], ref_template="#/$defs/{name}")
    told = {name: _adapted(part) for name, part in sorted(parts.items())}
    return {"$schema": DIALECT, "title": "Crossfade runsheet", **whole, "$defs": told}


def _adapted(node: object) -> object:
    if isinstance(node, list):
        return [_adapted(item) for item in node]
    if not isinstance(node, dict):
        return node
    told = {name: _adapted(value) for name, value in node.items()}
    if "properties" in told and "title" in told:
        told["additionalProperties"] = False
    match told:
        case {"type": "boolean"}:
            told.pop("type")
            return {"enum": [True, False, "yes", "no"], **told}
        case {"type": "number"}:
            percentage = {"type": "string", "pattern": f"^{scalars.PERCENTAGE}$"}
            kept = {name: told.pop(name) for name in ("type", "minimum", "maximum") if name in told}
            return {"anyOf": [kept, percentage], **told}
        case {"type": "string", "format": str(name)} if name in _PATTERNS:
            return {**{key: value for key, value in told.items() if key != "format"}, "pattern": f"^{_PATTERNS[name]}$"}
        case {"type": "string"} if "pattern" not in told and "enum" not in told:
            return {**told, "type": ["string", "number", "boolean"]}
        case _:
            return told
