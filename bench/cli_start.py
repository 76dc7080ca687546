"""How long the command line takes to say something, in processes of its own, beside an interpreter that does nothing.

Usage: python -m bench.cli_start [--rounds 15] [--json]
"""

import argparse
import subprocess
import sys
import time

from bench.found import Found, Measured

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "crossfade --version": [sys.executable, "-m", "crossfade", "--version"],
    "crossfade --help": [sys.executable, "-m", "crossfade", "--help"],
    "crossfade rollout --help": [sys.executable, "-m", "crossfade", "rollout", "--help"],
    "crossfade ask --help": [sys.executable, "-m", "crossfade", "ask", "--help"],
    "crossfade config show": [sys.executable, "-m", "crossfade", "config", "show"],
    "crossfade inbox ls (no hub)": [sys.executable, "-m", "crossfade", "inbox", "ls", "--url", "http://127.0.0.1:9"],
    "import crossfade.client": [sys.executable, "-c", "import crossfade.client"],
}


def seconds(words: list[str]) -> float:
    """One run."""
    began = time.perf_counter()
    subprocess.run(words, capture_output=True, check=False)
    return time.perf_counter() - began


def main() -> None:
    """Run the commands in turn, so that a busy moment is shared by all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(options.rounds):
        for name, words in COMMANDS.items():
            found[name].append(seconds(words) * 1_000)
    measured = tuple(Measured(name=f"`{name}`", unit="ms", each=tuple(times)) for name, times in found.items())
    Found(measured=measured).show(as_json=options.json)


if __name__ == "__main__":
    main()
