"""Peers side by side: the same job (ask, deliver, answer, durable) on the hub and on peers from PyPI, in one run.

    python bench/peers/run.py [--rounds 5] [--seconds 2] [--pairs 16] [--environments build/peers]

Each peer is installed, pinned, into a virtual environment of its own (made on first use, kept in --environments);
none is a dependency of this project. Rounds are interleaved and rotate; servers on processor 0, load on processor 1.
Printed are ratios within each round, as medians with their range. A peer that cannot be installed or run is said so.
"""

import argparse
import asyncio
import contextlib
import json
import secrets
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from run import Target, reachable, start_ours  # noqa: E402, bench/run.py

from crossfade.fleet.supervisor import HubProcess, free_port  # noqa: E402

SERVING = ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0")
PINS = {
    "fastmcp": ("fastmcp==4.1.2", "apsw==3.54.1.0", "msgspec", *SERVING),
    "a2a": ("a2a-sdk[http-server,sqlite]==1.3.0", *SERVING),
}
CALLS = {"ours": HERE.parent / "mcp_calls.py", "fastmcp": HERE.parent / "mcp_calls.py", "a2a": HERE / "a2a_calls.py"}


def environment(name, folder):
    """The interpreter of a peer's environment; made if it is not there."""
    place = folder / name
    python = place / "bin" / "python"
    if not (place / "complete").exists():
        print(f"installing {', '.join(PINS[name])}", file=sys.stderr, flush=True)
        venv.create(place, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PINS[name]], check=True, timeout=600)
        (place / "complete").touch()
    return python


async def start_peer(name, python, folder, names, children):
    port = free_port()
    tokens = [secrets.token_urlsafe(32) for _ in names]
    (folder / "tokens.json").write_text(json.dumps(dict(zip(tokens, names, strict=True))))
    more = () if name == "a2a" else ("--tokens", str(folder / "tokens.json"))
    options = ("--port", str(port), "--data", str(folder / name), *more)
    child = await asyncio.create_subprocess_exec(str(python), str(HERE / f"{name}_hub.py"), *options)
    children.append(child)
    await reachable(port)
    return Target(name, port, child.pid, tokens)


async def load(target, chosen, names):
    """Round trips a second and CPU of the server for each."""
    work = {
        "kind": "trips", "port": target.port, "seconds": chosen.seconds, "connections": chosen.pairs,
        "revision": "2026-07-28", "tokens": target.tokens, "names": names, "core": 1,
    }  # fmt: skip
    before = target.cpu_seconds()
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CALLS[target.name]), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(chosen.seconds + 40):
            out, _ = await child.communicate(json.dumps(work).encode())
    finally:
        if child.returncode is None:
            child.kill()
    found = json.loads(out or b'{"failed": "nothing said", "done": 0}')
    if found["failed"] or not found["done"]:
        raise SystemExit(f"{target.name}: {found}")
    cpu = (target.cpu_seconds() - before) / found["done"]
    rate = found["done"] / found["seconds"]
    print(f"  {target.name}: {rate:,.0f}/s, {cpu * 1e6:,.0f} µs", file=sys.stderr, flush=True)
    return {"rate": rate, "cpu": cpu}


def ratio(ours, theirs, what):
    each = sorted(a[what] / b[what] for a, b in zip(ours, theirs, strict=True))
    return f"{statistics.median(each):.1f} ({each[0]:.1f}-{each[-1]:.1f})"


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--environments", type=Path, default=HERE.parents[1] / "build" / "peers")
    chosen = parser.parse_args()
    names = [f"{role}-{number}" for number in range(chosen.pairs) for role in ("asker", "addressee")]
    chosen.environments.mkdir(parents=True, exist_ok=True)
    children, missing = [], {}
    with tempfile.TemporaryDirectory(prefix="crossfade-peers-", dir=chosen.environments) as place:
        hub = HubProcess(Path(place) / "ours")
        try:
            targets = [await start_ours(hub, names)]
            for name in PINS:
                try:
                    python = environment(name, chosen.environments)
                    targets.append(await start_peer(name, python, Path(place), names, children))
                except (subprocess.SubprocessError, SystemExit) as fault:
                    missing[name] = str(fault)
            for target in targets:
                target.pin(0)
            found = {target.name: [] for target in targets}
            for number in range(chosen.rounds):
                shift = number % len(targets)
                for target in targets[shift:] + targets[:shift]:
                    found[target.name].append(await load(target, chosen, names))
        finally:
            await hub.stop()
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
    print("| ours to | round trips a second | CPU of the server for one |\n|---|---|---|")
    for name in (name for name in found if name != "ours"):
        faster = ratio(found["ours"], found[name], "rate")
        print(f"| {PINS[name][0]} | {faster} | {ratio(found[name], found['ours'], 'cpu')} |")
    for name, fault in missing.items():
        print(f"| {PINS[name][0]} | could not be run: {fault} | |")


if __name__ == "__main__":
    asyncio.run(main())
