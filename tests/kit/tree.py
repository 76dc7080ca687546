"""The project as a tree of text: which files are tracked, what they say, what their Markdown links to.

Checks take a root, so that a test can plant a fault in a tree of its own and see it found.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
FOREIGN = re.compile(
    r"py(?:pi|thonhosted)\.org|registry\.(?:npmjs|yarnpkg)\.|deb\.(?:debian)\.|security\.(?:debian)\."
    r"|(?<![\w.~-])/(?:w(?:ork)|r(?:oot)|o(?:pt)|home/\w+)/[\w.]"
)
"""Package registries by host, and paths that exist on one machine only."""


def tracked(root: Path = ROOT) -> list[Path]:
    """Files that git keeps; all files where there is no git."""
    listing = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z"],
        capture_output=True,
        check=False,
        text=True,
    )
    if listing.returncode:
        return sorted(path for path in root.rglob("*") if path.is_file() and not _hidden(path.relative_to(root)))
    paths = (root / name for name in listing.stdout.split("\0") if name)
    return sorted({path for path in paths if path.is_file()})


def _hidden(path: Path) -> bool:
    return any(part.startswith(".venv") or part in {"__pycache__", "node_modules"} for part in path.parts)


def texts(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Every tracked file that is text, with what it says."""
    for path in tracked(root):
        try:
            yield path, path.read_text("utf-8")
        except UnicodeDecodeError:
            continue


def foreign(root: Path = ROOT) -> list[str]:
    """Lines that name a package registry or a path of one machine."""
    return [
        f"{path.relative_to(root)}:{number}: {line.strip()[:120]}"
        for path, text in texts(root)
        for number, line in enumerate(text.splitlines(), 1)
        if FOREIGN.search(line) and not ("vendor" in path.parts or path.suffix == ".map")
    ]


def anchor(heading: str) -> str:
    """The fragment under which a heading is reached."""
    plain = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def dead_links(root: Path = ROOT) -> list[str]:
    """Relative links in Markdown that lead nowhere, with or without a fragment."""
    dead = []
    for path in tracked(root):
        if path.suffix != ".md":
            continue
        for target in LINK.findall(FENCE.sub("", path.read_text("utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, fragment = target.partition("#")
            file = (path.parent / name).resolve() if name else path
            if not file.exists() or (fragment and file.suffix == ".md" and not _has(file, fragment)):
                dead.append(f"{path.relative_to(root)}: {target}")
    return dead


def _has(file: Path, fragment: str) -> bool:
    return fragment in {anchor(heading) for heading in HEADING.findall(FENCE.sub("", file.read_text("utf-8")))}


def unlisted(root: Path = ROOT) -> list[str]:
    """Pages of docs/ that docs/README.md does not link to."""
    index = root / "docs" / "README.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in LINK.findall(index.read_text("utf-8"))}
    pages = (path for path in tracked(root) if path.suffix == ".md" and path.is_relative_to(root / "docs"))
    return [str(path.relative_to(root)) for path in pages if path != index and path.resolve() not in linked]


def stale_decisions(root: Path = ROOT) -> list[str]:
    """Decision records whose numbers have gaps or twins, and mentions of one that does not exist."""
    numbers = sorted(path.name[:4] for path in (root / "docs/adr").glob("[0-9][0-9][0-9][0-9]-*.md"))
    wrong = [] if numbers == [f"{n:04}" for n in range(1, len(numbers) + 1)] else [f"docs/adr: numbered {numbers}"]
    for path, text in texts(root):
        for number in re.findall(r"\bADR[ -](\d{4})\b|docs/adr/(\d{4})", text):
            wanted = number[0] or number[1]
            if wanted not in numbers:
                wrong.append(f"{path.relative_to(root)}: ADR {wanted}")
    return wrong
