"""Targets other than our own rollout: any system whose share is set by a command or a URL, and what it counts.

Counts come from a CSV file with the columns ``at, cluster, exposure, n, bad``, or from a Prometheus query whose
series carry the labels ``cluster``, ``exposure`` and ``outcome`` (``bad`` or anything else).

Source: Prometheus HTTP API, "Instant queries" (/api/v1/query).
"""

import asyncio
import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import httpx2
import msgspec

from crossfade.core.runsheets import Target
from crossfade.engine.run_ports import Count, StepCall, StepOutcome
from crossfade.outbound.steps import HostSteps

COLUMNS: Final = ("at", "cluster", "exposure", "n", "bad")
ROWS_MAX: Final = 1_000_000
QUERY_SECONDS: Final = 15.0
NOT_GIVEN: Final = StepOutcome(ok=True, output="not given in the runsheet")


class CountsError(Exception):
    """The counts cannot be read; says where and why."""


class _Series(msgspec.Struct, frozen=True):
    metric: dict[str, str]
    value: tuple[float, str]


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    result: list[_Series]


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    data: _Found


class HostTargets:
    """Finds the target that a runsheet names."""

    def __init__(self, steps: HostSteps, folder: Path) -> None:
        self._steps = steps
        self._folder = folder

    def of(self, target: Target) -> "HostTarget | None":
        """A target by command or HTTP; None for the hub's own, which is not of this module."""
        return None if target.kind == "hub" else HostTarget(self._steps, self._folder, target)


class HostTarget:
    """One system. A text that begins with http is called (read for ``verify``), any other is run."""

    def __init__(self, steps: HostSteps, folder: Path, target: Target) -> None:
        self._steps = steps
        self._folder = folder
        self._target = target

    async def set_share(self, share: float, call: StepCall) -> StepOutcome:
        """Set it."""
        if not self._target.set_share:
            return StepOutcome(ok=False, reason="not_implemented", output="target.set_share is empty")
        return await self._do(self._target.set_share, _with(call, share), "POST")

    async def verify(self, share: float, call: StepCall) -> StepOutcome:
        """Whether it is in force; not verified if the runsheet does not say how."""
        if not self._target.verify:
            return StepOutcome(ok=False, reason="not_implemented", output="target.verify is empty")
        return await self._do(self._target.verify, _with(call, share), "GET")

    async def drain(self, call: StepCall) -> StepOutcome:
        """Let what is open end."""
        return await self._do(self._target.drain, call, "POST") if self._target.drain else NOT_GIVEN

    async def roll_back(self, call: StepCall) -> StepOutcome:
        """Back to nothing, by the quickest means the runsheet names."""
        if not self._target.roll_back:
            return await self.set_share(0.0, call)
        return await self._do(self._target.roll_back, _with(call, 0.0), "POST")

    async def _do(self, text: str, call: StepCall, method: str) -> StepOutcome:
        if text.startswith(("http://", "https://")):
            return await self._steps.http(text, call, method)
        return await self._steps.command(text, call)

    async def counts(self) -> list[Count]:
        """What was counted. Raises CountsError."""
        source, _, place = self._target.counts.partition(":")
        if source == "csv":
            return await asyncio.to_thread(counts_of_csv, self._folder / place)
        return await counts_of_prometheus(place) if source == "prometheus" else []


def _with(call: StepCall, share: float) -> StepCall:
    """The call with ``{share}`` (0 to 1) and ``{percent}``."""
    shown = {"share": f"{share:g}", "percent": f"{round(share * 100, 6):g}"}
    return msgspec.structs.replace(call, args={**call.args, **shown})


def counts_of_csv(path: Path) -> list[Count]:
    """Counts of a file, in its order. Raises CountsError with the line."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return _counts(path, csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise CountsError(f"{path}: {fault}") from fault


def _counts(path: Path, rows: Iterable[dict[str, str]]) -> list[Count]:
    found: list[Count] = []
    for line, row in enumerate(rows, 2):
        if line > ROWS_MAX:
            raise CountsError(f"{path}: more than {ROWS_MAX} lines")
        try:
            n, bad = int(row["n"]), int(row["bad"])
            count = Count(at=row["at"], cluster=row["cluster"], exposure=row["exposure"], n=n, bad=bad)
        except (KeyError, TypeError, ValueError) as fault:
            raise CountsError(f"{path}:{line}: needs {', '.join(COLUMNS)}: {fault}") from fault
        if not 0 <= bad <= n:
            raise CountsError(f"{path}:{line}: bad is {bad} of {n}")
        found.append(count)
    return found


async def counts_of_prometheus(url: str) -> list[Count]:
    """Counts of an instant query, added up by cluster and exposure. Raises CountsError."""
    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=QUERY_SECONDS) as http:
            response = await http.get(url)
        if response.status_code != 200:
            raise CountsError(f"{url}: status {response.status_code}")
        answer = msgspec.json.decode(response.content, type=_Answer)
        sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for series in answer.data.result:
            number = round(float(series.value[1]))
            entry = sums[series.metric.get("cluster", ""), series.metric.get("exposure", "")]
            entry[0] += number
            entry[1] += number if series.metric.get("outcome") == "bad" else 0
    except (httpx2.HTTPError, httpx2.InvalidURL, msgspec.DecodeError, ValueError, OverflowError) as fault:
        raise CountsError(f"{url}: {fault}") from fault
    return [Count(at="", cluster=cluster, exposure=name, n=n, bad=bad) for (cluster, name), (n, bad) in sums.items()]
