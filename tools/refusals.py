"""Write docs/reference/refusals.md: every refusal code in the source, its HTTP status, and what it says.

Usage: refusals.py [--check]     with --check, exit status 1 if the page is not what would be written.

Codes are read from the syntax tree: the first argument of ``Refusal(…)`` and ``RefusalAnswer(…)``, plain
or as one of the two sides of a condition. Where a module builds codes as ``f"area.{reason}"`` in one
function, the reasons are the constants that calls of this function give; a table called ``_REFUSALS``
gives them as its keys. A code built in any other way stops the tool: it would be missing from the page.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from crossfade.inbound.errors import matched

ROOT: Final = Path(__file__).parent.parent
SOURCE: Final = ROOT / "src/crossfade"
PAGE: Final = ROOT / "docs/reference/refusals.md"
MAKERS: Final = frozenset({"Refusal", "RefusalAnswer"})
CODE: Final = re.compile(r"[a-z_]+\.[a-z_]+")
HEAD: Final = """\
# Refusals

Written from the source by `tools/refusals.py`; a test compares. Do not edit.

A refusal is an ordinary answer: what was asked for was not acceptable, nothing was changed, and the hub runs on.
Over HTTP it is `{"error": {"code", "message", "try", "details"}}` with the status below; in MCP it is a tool result
with `isError`; on the command line two lines, `error:` and `try:`. Codes are stable, sentences are not. `…` stands
for what depends on the request. Those of shapes and answers have a page of their own: [shapes](shapes.md).

| code | HTTP | says | try |
|---|---|---|---|
"""


class Found(NamedTuple):
    """A code, and what it says where that is written next to it."""

    code: str
    message: str
    hint: str


def codes(source: Path = SOURCE) -> dict[str, Found]:
    """Every code below ``source``, each with the first text found for it. Raises ValueError for an unreadable one."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(source.rglob("*.py"))}
    shared = {name: made for tree in trees.values() for name, made in _builders(tree) if not name.startswith("_")}
    found: dict[str, Found] = {}
    for path, tree in trees.items():
        for code in _in_module(path, tree, shared | dict(_builders(tree))):
            if code.code not in found or not found[code.code].message:
                found[code.code] = code
    return dict(sorted(found.items()))


def _in_module(path: Path, tree: ast.Module, builders: dict[str, tuple[str, int]]) -> Iterator[Found]:
    yield from _table(tree)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = _name(call.func)
        if name in MAKERS:
            yield from _made(path, call)
        elif name in builders and len(call.args) > builders[name][1]:
            prefix, position = builders[name]
            for reason in _constants(call.args[position]) or ():
                if CODE.fullmatch(prefix + reason):
                    texts = call.args[position + 1 :]
                    says, hint = (_text(texts[-2]), _text(texts[-1])) if len(texts) > 1 else ("", "")
                    yield Found(prefix + reason, says, hint)


def _made(path: Path, call: ast.Call) -> Iterator[Found]:
    texts = [
        argument
        for argument in call.args
        if not (isinstance(argument, ast.Constant) and isinstance(argument.value, int))
    ]
    if not texts:
        return
    named = _constants(texts[0])
    if named is None and not isinstance(texts[0], ast.JoinedStr):
        raise ValueError(f"{path}:{call.lineno}: the code of a refusal must be written out")
    for code in named or ():
        yield Found(code, _text(texts[1]) if len(texts) > 1 else "", _text(texts[2]) if len(texts) > 2 else "")


def _builders(tree: ast.Module) -> Iterator[tuple[str, tuple[str, int]]]:
    """Functions that make ``f"area.{parameter}"`` into a code: name → (``area.``, place of the parameter)."""
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        names = [argument.arg for argument in function.args.args]
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            if _name(call.func) in MAKERS and call.args and isinstance(call.args[0], ast.JoinedStr):
                prefix, value = call.args[0].values
                if isinstance(prefix, ast.Constant) and isinstance(value, ast.FormattedValue):
                    yield function.name, (str(prefix.value), names.index(ast.unparse(value.value)))


def _table(tree: ast.Module) -> Iterator[Found]:
    """``_REFUSALS`` of a module: reason → (message, hint); its area is the prefix of the module's builder."""
    prefix = next((made[0] for _, made in _builders(tree)), "")
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and _name(node.target) == "_REFUSALS" and isinstance(node.value, ast.Dict):
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Tuple):
                    message, hint = (_text(part) for part in value.elts)
                    yield Found(prefix + str(key.value), message, hint)


def _constants(node: ast.expr) -> tuple[str, ...] | None:
    """The strings that an expression may be; None if it is anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return (node.value,)
    if isinstance(node, ast.IfExp):
        sides = (_constants(node.body), _constants(node.orelse))
        return None if None in sides else tuple(text for side in sides for text in side or ())
    return None


def _text(node: ast.expr) -> str:
    """A message as the page shows it: what is filled in becomes ``…``."""
    if isinstance(node, ast.Constant):
        return re.sub(r"\{\w+\}", "…", str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.IfExp):
        return _text(node.orelse)
    return "…"


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def page() -> str:
    """The whole page."""
    rows = []
    for found in codes().values():
        says, hint = (text.replace("|", "\\|").replace("\n", " ") for text in (found.message, found.hint))
        rows.append(f"| `{found.code}` | {matched(found.code) or 'none'} | {says} | {hint} |\n")
    return HEAD + "".join(rows)


def main() -> int:
    """Write or check the page."""
    text = page()
    if "--check" in sys.argv:
        current = PAGE.read_text("utf-8") if PAGE.exists() else ""
        if current != text:
            print(f"{PAGE} is not what the source says; run tools/refusals.py")
        return int(current != text)
    PAGE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
