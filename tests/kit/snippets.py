"""Commands and programs in the documentation, as they stand there."""

import re
import shlex
from pathlib import Path

from tests.kit.tree import ROOT, tracked

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELLS = frozenset({"console", "sh", "bash", "shell"})


def pages() -> list[Path]:
    """Every page of documentation: Markdown at the top and below docs/."""
    return [path for path in tracked() if path.suffix == ".md" and path.relative_to(ROOT).parts[0] != "changelog.d"]


def blocks(languages: frozenset[str]) -> list[tuple[str, str]]:
    """Place and text of every fenced block in one of ``languages``."""
    return [
        (f"{page.relative_to(ROOT)}:{text[: found.start()].count(chr(10)) + 1}", found[2])
        for page in pages()
        for text in [page.read_text("utf-8")]
        for found in BLOCK.finditer(text)
        if found[1] in languages
    ]


def commands(program: str) -> list[tuple[str, list[str]]]:
    """Place and words after ``program`` of every command that begins with it, with or without a path or prompt."""
    found = []
    for place, text in blocks(SHELLS):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words and words[0].rpartition("/")[2] == program:
                found.append((place, words[1:]))
    return found
