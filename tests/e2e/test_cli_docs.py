"""The page of the command line says what the commands say, and the SDK's programs are as short as promised and run."""

import asyncio
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from crossfade.cli.app import COMMANDS, build
from tests.kit.hub import run
from tests.kit.live import live_hub
from tests.kit.tree import ROOT
from tools.cli_docs import arguments

LIMIT_SECONDS = 180
PAGE = (ROOT / "docs/tutorial/first-question.md").read_text("utf-8")


def program(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```py(?:thon)?\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def code_lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if line.strip())


def test_the_page_of_the_command_line_is_what_the_commands_say() -> None:
    done = subprocess.run(
        [sys.executable, "tools/cli_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_every_argument_says_what_it_is(command: object) -> None:
    silent = [argument.names[0] for argument in arguments(build(), command) if not argument.parameter.help]
    assert silent == []


def test_asking_takes_five_lines_and_answering_ten() -> None:
    assert code_lines(program("ask")) <= 5
    assert code_lines(program("answer")) <= 10


def test_the_two_programs_of_the_tutorial_talk(tmp_path: Path) -> None:
    asker = f"import asyncio\nasync def main():\n{textwrap.indent(program('ask'), '    ')}\nasyncio.run(main())\n"

    @run
    async def scene() -> None:
        async with live_hub() as hub:
            environ = {"CROSSFADE_URL": hub.url, "PATH": "", "PYTHONPATH": str(ROOT / "src")}
            answerer = await start(program("answer"), environ, tmp_path)
            try:
                said = "There is nobody named"
                while "There is nobody named" in said:
                    said = await outcome(asker, environ, tmp_path)
            finally:
                answerer.terminate()
                assert await asyncio.wait_for(answerer.wait(), LIMIT_SECONDS) == 0
        assert said == "ship\n"

    scene()


async def start(text: str, environ: dict[str, str], folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", text),
        env=environ,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def outcome(text: str, environ: dict[str, str], folder: Path) -> str:
    """What the program says, with its traceback if it fails."""
    asked = await start(text, environ, folder)
    out, _ = await asyncio.wait_for(asked.communicate(), LIMIT_SECONDS)
    return out.decode()
