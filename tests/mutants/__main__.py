"""Plant each seeded mutant in a copy of the tree and run the test that must notice: ``python -m tests.mutants``.

A test that stays green, or a plant whose piece of source is gone, is a failure. Names choose: ``M4 M21``.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.plants import PLANTS, Plant

ROOT = Path(__file__).parents[2]
PARTS = ("src", "tests", "tools", "docs", "pyproject.toml", "README.md", "ARCHITECTURE.md", "changelog.d")
SECONDS_MAX = 300
"""Far more than any of the tests takes; a test that hangs has noticed, one on a busy machine has not."""
NOWHERE = ""


def planted(plant: Plant, folder: Path) -> None:
    """A copy of the tree with the defect in it. Raises ValueError if there is no place for it."""
    for part in PARTS:
        origin = ROOT / part
        if origin.is_dir():
            shutil.copytree(origin, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif origin.exists():
            shutil.copy2(origin, folder / part)
    if plant.file == NOWHERE:
        return
    file = folder / "src/crossfade" / plant.file
    source = file.read_text("utf-8")
    if not plant.old or source.count(plant.old) < 1:
        raise ValueError(f"{plant.file} has no {plant.old!r}")
    file.write_text(source.replace(plant.old, plant.new, 1), "utf-8")


def noticed(plant: Plant) -> str:
    """``killed``, ``survived`` or why it could not be tried."""
    with tempfile.TemporaryDirectory(prefix="crossfade-mutant-") as name:
        folder = Path(name)
        try:
            planted(plant, folder)
        except ValueError as fault:
            return str(fault)
        environ = {**os.environ, "PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *plant.test.split()]
        try:
            done = subprocess.run(
                command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=SECONDS_MAX
            )
        except subprocess.TimeoutExpired:
            return "killed"  # a hang is noticed, too
        if done.returncode == 1:
            return "killed"
        return "survived" if done.returncode == 0 else f"pytest said {done.returncode}: {done.stdout[-300:]}"


def main(arguments: list[str]) -> int:
    """Try them; 1 unless every one was killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--control", action="store_true", help="plant nothing: every test must stay green")
    options = parser.parse_args(arguments)
    chosen = [plant for plant in PLANTS if not options.names or plant.name in options.names]
    if options.control:
        chosen = [plant._replace(file=NOWHERE) for plant in chosen]
    wanted, alive = "survived" if options.control else "killed", 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as several:
        for plant, verdict in zip(chosen, several.map(noticed, chosen), strict=True):
            alive += verdict != wanted
            said = "green" if options.control and verdict == wanted else verdict
            print(f"{plant.name:5} {said:9} {plant.defect}: {plant.test}", flush=True)
    print(
        f"{len(chosen) - alive} of {len(chosen)} "
        f"{'tests green without a mutant' if options.control else 'mutants killed'}"
    )
    return int(alive > 0 or not chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
