"""What differs between two runsheets: by value, path by path; lists of named things are matched by their id."""

from typing import Final

import msgspec

from crossfade.core.runsheets import Runsheet

FIELDS: Final = ("path", "change", "before", "after")
Flat = dict[str, object]


def differences(before: Runsheet, after: Runsheet) -> list[dict[str, object]]:
    """Rows of path, change (added, removed, changed), value before and after; a section that is new is one row."""
    old, new = _flat(msgspec.to_builtins(before, str_keys=True)), _flat(msgspec.to_builtins(after, str_keys=True))
    found: list[dict[str, object]] = []
    for path in sorted({*old, *new}):
        if path not in new:
            found.append({"path": path, "change": "removed", "before": old[path], "after": ""})
        elif path not in old:
            found.append({"path": path, "change": "added", "before": "", "after": new[path]})
        elif old[path] != new[path]:
            found.append({"path": path, "change": "changed", "before": old[path], "after": new[path]})
    return found


def _flat(value: object, path: str = "") -> Flat:
    """Leaves by path; an item of a list is called by its id if all items have one."""
    if isinstance(value, dict) and value:
        parts = value.items()
    elif isinstance(value, list | tuple) and value and all(isinstance(item, dict) and "id" in item for item in value):
        parts = {str(item["id"]): item for item in value}.items()
    else:
        return {path: value}
    found: Flat = {}
    for name, part in parts:
        found |= _flat(part, f"{path}.{name}" if path else str(name))
    return found
