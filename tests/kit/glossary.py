"""The glossary as a check: the words of its column "never" do not occur in names of the code."""

import ast
import re
from pathlib import Path

WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def never_names(page: Path) -> dict[str, str]:
    """Rejected word to the word to use instead, from the rows ``| **word** | meaning | in code | never |``."""
    found: dict[str, str] = {}
    for line in page.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("**"):
            for word in re.findall(r"[a-z]+", cells[3]):
                found[word] = cells[0].strip("*")
    if not found:
        raise ValueError(f"{page} rejects no word at all")
    return found


def offences(path: Path, banned: dict[str, str]) -> list[str]:
    """Names of the module, its classes and their fields that contain a rejected word."""
    names = [(1, path.stem)]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            names.append((node.lineno, node.name))
            fields = (entry for entry in node.body if isinstance(entry, ast.AnnAssign))
            names += [(entry.lineno, entry.target.id) for entry in fields if isinstance(entry.target, ast.Name)]
    return [
        f"{path}:{line}: {name}: say {banned[word.lower()]!r}, not {word.lower()!r}"
        for line, name in names
        for word in WORD.findall(name)
        if word.lower() in banned
    ]
