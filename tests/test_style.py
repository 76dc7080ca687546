"""The shape of the project is a test like any other: sizes, names, links, numbers, locks, generated pages.

Each check that is ours is also shown a planted fault, so that it is known to see one.
"""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from crossfade.inbound.mcp.catalogue import DEFINITIONS
from tests.kit import tree
from tests.kit.glossary import never_names, offences

LOCKS = ("run", "dev")
FRAGMENT = re.compile(r"[a-z0-9+.-]+\.(breaking|feature|fix|doc|internal)\.md")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=tree.ROOT, capture_output=True, text=True, check=False)


def test_the_sources_are_tidy() -> None:
    done = run("tools/tidy.py", "src", "tools")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\n", "module has no docstring"),
        ('"""Doc."""\nclass OrderManager: pass\n', "vague class name"),
        ('"""Doc."""\nimport time\nnow = time.time()\n', "reads the world: time.time"),
        ('"""Doc."""\nfrom time import monotonic\nnow = monotonic()\n', "reads the world: monotonic"),
        ('"""Doc."""\ntry:\n    pass\nexcept Exception:\n    pass\n', "catches everything"),
        ('"""Doc."""\ndef f(a, b, c, d, e, f, g): pass\n', "f has 7 parameters"),
        ('"""Doc."""\ndef f():\n' + "    pass\n" * 60, "f has 61 lines"),
        ('"""Doc."""\n' + "x = 1\n" * 400, "file has 401 lines"),
        ('"""Doc."""\ndef f():\n if 1:\n  if 1:\n   if 1:\n    if 1:\n     if 1: pass\n', "5 levels of nesting"),
    ],
)
def test_tidy_sees_a_planted_fault(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "planted.py").write_text(source, "utf-8")
    done = run("tools/tidy.py", str(tmp_path))
    assert done.returncode == 1
    assert said in done.stdout


def test_names_keep_to_the_glossary() -> None:
    banned = never_names(tree.ROOT / "docs/reference/glossary.md")
    found = [offence for path in sorted((tree.ROOT / "src").rglob("*.py")) for offence in offences(path, banned)]
    assert found == []


def test_a_word_that_the_glossary_rejects_is_found_in_a_name(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("class EventJournal: pass\n\ndef restored() -> None: ...\n", "utf-8")
    (found,) = offences(tmp_path / "planted.py", {"journal": "log", "store": "log"})
    assert "EventJournal" in found


def test_no_tracked_file_names_a_registry_or_a_path_of_one_machine() -> None:
    assert tree.foreign() == []


def test_a_registry_or_machine_path_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("--index-url https://" + "py" + "pi.org/simple\nok\n", "utf-8")
    (tmp_path / "b.md").write_text("see /" + "work/main and ./work/there\n", "utf-8")
    assert len(tree.foreign(tmp_path)) == 2


def test_every_link_in_the_docs_leads_somewhere() -> None:
    assert tree.dead_links() == []


def test_a_dead_link_is_found_with_and_without_a_fragment(tmp_path: Path) -> None:
    page = "# One `two`\n[x](#one-two) [y](b.md) [z](#three) [w](https://example.org)\n"
    (tmp_path / "a.md").write_text(page, "utf-8")
    assert tree.dead_links(tmp_path) == ["a.md: b.md", "a.md: #three"]


def test_every_page_is_in_the_index_of_the_docs() -> None:
    assert tree.unlisted() == []


def test_a_page_that_the_index_forgot_is_found(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/README.md").write_text("[a](a.md)\n", "utf-8")
    (tmp_path / "docs/a.md").write_text("# A\n", "utf-8")
    (tmp_path / "docs/b.md").write_text("# B\n", "utf-8")
    assert tree.unlisted(tmp_path) == ["docs/b.md"]


def test_decision_records_are_numbered_without_gaps_and_mentioned_by_numbers_that_exist() -> None:
    assert tree.stale_decisions() == []


def test_a_gap_and_a_stale_number_of_a_decision_record_are_found(tmp_path: Path) -> None:
    (tmp_path / "docs/adr").mkdir(parents=True)
    (tmp_path / "docs/adr" / "0001-a.md").write_text("see ADR " + "0007\n", "utf-8")
    (tmp_path / "docs/adr" / "0003-c.md").write_text("c\n", "utf-8")
    assert len(tree.stale_decisions(tmp_path)) == 2


@pytest.mark.parametrize("tool", ["diagrams", "reference", "runsheet_docs"])
def test_pages_that_repeat_the_source_say_what_it_says(tool: str) -> None:
    done = run(f"tools/{tool}.py", "--check")
    assert done.returncode == 0, done.stdout


def test_the_map_names_files_refusals_and_limits_that_exist() -> None:
    named = re.findall(r"`([\w./*-]+)`", (tree.ROOT / "ARCHITECTURE.md").read_text("utf-8"))
    source = "\n".join(path.read_text("utf-8") for path in (tree.ROOT / "src").rglob("*.py"))
    folders = ("core/", "inbound/", "console/")
    files = [name for name in named if name.endswith((".py", "/")) or name.startswith(folders)]
    limits = [name for name in named if name.startswith("limit.") or name.endswith(("_max", "_kept"))]
    assert files
    assert limits
    roots = (tree.ROOT, tree.ROOT / "src/crossfade")
    assert [name for name in files if not any(any(root.glob(name.rstrip("/"))) for root in roots)] == []
    assert [name for name in limits if name not in source] == []


def test_the_readme_lists_the_tools_that_there_are() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (tree.ROOT / "README.md").read_text("utf-8"), flags=re.MULTILINE)
    assert sorted(listed) == sorted(tool.name for tool in DEFINITIONS)


def test_changelog_fragments_are_named_by_kind_and_are_sentences() -> None:
    fragments = [path for path in (tree.ROOT / "changelog.d").iterdir() if path.name not in {"README.md", ".gitkeep"}]
    assert [path.name for path in fragments if not FRAGMENT.fullmatch(path.name)] == []
    assert [path.name for path in fragments if not path.read_text("utf-8").rstrip().endswith(".")] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_package_by_hash_and_names_no_host(lock: str) -> None:
    text = (tree.ROOT / f"requirements/{lock}.lock").read_text("utf-8")
    assert "//" not in text
    packages = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert packages
    pinned = re.compile(r"[a-z0-9-]+==\S+.*--hash=sha256:[0-9a-f]{64}", re.DOTALL)
    loose = [package.partition("\n")[0] for package in packages if not pinned.match(package)]
    assert loose == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_everything_that_the_project_declares(lock: str) -> None:
    text = (tree.ROOT / f"requirements/{lock}.lock").read_text("utf-8")
    locked = set(re.findall(r"^([a-z0-9-]+)==", text, flags=re.MULTILINE))
    declared = tomllib.loads((tree.ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = [*declared["project"]["dependencies"], *declared["project"]["optional-dependencies"]["agents"]]
    groups = declared["dependency-groups"]
    wanted += groups["build"] if lock == "run" else [entry for entry in groups["dev"] if isinstance(entry, str)]
    names = {re.split(r"[<>=\[;]", entry)[0].lower().replace("_", "-") for entry in wanted}
    assert names - locked == set()


def test_only_declared_packages_are_imported() -> None:
    declared = tomllib.loads((tree.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*declared["dependencies"], *declared["optional-dependencies"]["agents"]]
    known = {re.split(r"[<>=\[;]", entry)[0].lower().replace("-", "_") for entry in wanted}
    known |= {"crossfade", "crossfade_verify", "mcp_types", "yaml", *sys.stdlib_module_names}  # PyYAML imports as yaml
    undeclared = {
        f"{path.relative_to(tree.ROOT)}: {root}"
        for path in (tree.ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for root in imported(node)
        if root not in known
    }
    assert undeclared == set()


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    return [node.module.partition(".")[0]] if isinstance(node, ast.ImportFrom) and node.module else []
