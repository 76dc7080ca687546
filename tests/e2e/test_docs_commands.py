"""Whatever the documentation tells a reader to type exists, and its programs run as they stand."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.kit.process import hub_process
from tests.kit.snippets import blocks, commands
from tests.kit.tree import ROOT

MAKE, CROSSFADE = commands("make"), commands("crossfade")
CONFLICT = 11
UNKNOWN = "There is nobody named"
PROGRAMS = blocks(frozenset({"python"}))


def run(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240, env=environment)


def verb_of(words: list[str]) -> tuple[list[str], list[str]]:
    """The words before the first option or free text, and the options."""
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    plain = words[: next((place for place, word in enumerate(words) if word.startswith("-")), len(words))]
    return plain, options


@cache
def verbs_listed() -> str:
    """What ``make help`` says."""
    return run("make", "help").stdout


@cache
def help_of(*plain: str) -> str:
    """The help of a command; empty if there is none."""
    shown = run(sys.executable, "-m", "crossfade", *plain, "--help")
    return shown.stdout if shown.returncode == 0 else ""


@pytest.mark.parametrize(("place", "words"), MAKE, ids=[f"{place} make {' '.join(words)}" for place, words in MAKE])
def test_every_make_command_in_the_docs_is_a_verb(place: str, words: list[str]) -> None:
    listed = verbs_listed()
    verbs = [word for word in words if "=" not in word]
    assert [verb for verb in verbs if f"make {verb} " not in listed] == [], place


def helped(plain: list[str]) -> str:
    """The help of the longest command that ``plain`` begins with; empty if there is none."""
    for length in range(min(3, len(plain)), 0, -1):
        if shown := help_of(*plain[:length]):
            return shown
    return "" if plain else help_of()


@pytest.mark.parametrize(
    ("place", "words"), CROSSFADE, ids=[f"{place} {' '.join(words)}" for place, words in CROSSFADE]
)
def test_every_crossfade_command_in_the_docs_exists_with_its_options(place: str, words: list[str]) -> None:
    plain, options = verb_of(words)
    shown = helped(plain)
    assert shown, f"{place}: no such command"
    assert [option for option in options if option not in shown] == [], place


@pytest.mark.parametrize(("place", "program"), PROGRAMS, ids=[place for place, _ in PROGRAMS])
def test_every_python_program_in_the_docs_compiles_and_finds_its_imports(place: str, program: str) -> None:
    compile(program, place, "exec")
    imports = [line for line in program.splitlines() if line.startswith(("import ", "from "))]
    done = run(sys.executable, "-c", "\n".join(imports))
    assert done.returncode == 0, done.stderr


def test_the_docs_hold_commands_and_programs_at_all() -> None:
    assert MAKE
    assert PROGRAMS


def at(url: str, folder: Path) -> dict[str, str]:
    """The environment of a reader whose hub runs at ``url`` with its data in ``folder``."""
    return {"CROSSFADE_URL": url, "CROSSFADE_DATA_FOLDER": str(folder / "data"), "PATH": "", "HOME": str(folder)}


def test_the_readme_s_programs_and_commands_ask_and_answer(tmp_path: Path) -> None:
    asker, answerer = (text for place, text in PROGRAMS if place.startswith("README.md"))
    (typed,) = (words for place, words in CROSSFADE if place.startswith("README.md") and words[0] == "ask")
    with hub_process(tmp_path) as url:
        environment = at(url, tmp_path)
        with subprocess.Popen([sys.executable, "-c", answerer], env=environment) as waiting:
            try:
                assert until_known(environment, "-c", asker) == "answered {'choice': 'ship'}"
                assert '"choice":"ship"' in until_known(environment, "-m", "crossfade", *typed)
            finally:
                waiting.terminate()


def until_known(environment: dict[str, str], *words: str) -> str:
    """What the program says. Until the answerer has registered, nobody has its name: again, then."""
    said, failed = "", UNKNOWN
    for _ in range(50):
        if UNKNOWN not in failed:
            break
        done = run(sys.executable, *words, environment=environment)
        said, failed = done.stdout.strip(), done.stderr
    assert not failed or said, failed
    return said


def test_the_commands_that_move_a_fleet_work_in_the_order_of_the_page(tmp_path: Path) -> None:
    typed = [words for place, words in CROSSFADE if place.startswith("docs/how-to/move-a-fleet.md")]
    assert typed
    with hub_process(tmp_path) as url:
        for words in typed:
            done = run(sys.executable, "-m", "crossfade", *words, environment=at(url, tmp_path))
            early = words[:2] == ["rollout", "remove"]  # the sunset that was announced a moment ago is still ahead
            assert done.returncode == (CONFLICT if early else 0), (words, done.stderr)
        done = run(sys.executable, "-m", "crossfade", "rollout", "status", "--json", environment=at(url, tmp_path))
    assert '"share":0.0' in done.stdout
