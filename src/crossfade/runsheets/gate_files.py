"""A file of one gate, or of several under ``gates:``, to typed specs; every mistake with its place.

The format is docs/reference/gates.md. Not here: verdicts (core/gates), counts (counts.py).
"""

from pathlib import Path
from typing import Final

import msgspec

from crossfade.core.catalogue import METRICS
from crossfade.core.gates import Gates, Spec, SpecSlip, contradictions, instants_wrong, slips
from crossfade.runsheets.nodes import Mapping, Node, YamlError, compose
from crossfade.runsheets.problems import START, Place, Problem, did_you_mean
from crossfade.runsheets.reading import Reading

SIZE_BYTES_MAX: Final = 1 << 20


def load_gates(path: str) -> tuple[Spec, ...] | list[Problem]:
    """Read gates from a file; a list holds what is wrong, never empty."""
    try:
        with Path(path).open("rb") as stream:
            source = stream.read(SIZE_BYTES_MAX + 1)
    except OSError as fault:
        return [_problem("file.unreadable", path, START, f"cannot be read: {fault.strerror}")]
    return parse_gates(source, path)


def parse_gates(source: bytes, file: str = "gate.yaml") -> tuple[Spec, ...] | list[Problem]:
    """The gates in ``source``; ``file`` is only what messages call it."""
    if len(source) > SIZE_BYTES_MAX:
        return [_problem("file.too_large", file, START, f"larger than {SIZE_BYTES_MAX} bytes")]
    try:
        root = compose(source.decode("utf-8-sig"))
    except UnicodeDecodeError as fault:
        return [_problem("file.encoding", file, START, f"byte {fault.start} is not UTF-8", "save it as UTF-8")]
    except YamlError as fault:
        return [_problem(fault.code, file, fault.place, fault.message, fault.hint)]
    reading = Reading(file)
    specs = _specs(reading, root)
    problems = reading.problems or _nonsense(reading, specs)
    return sorted(problems, key=lambda problem: (problem.line, problem.column)) if problems else specs


def _several(root: Node) -> bool:
    return isinstance(root, Mapping) and any(entry.key.text == "gates" for entry in root.entries)


def _specs(reading: Reading, root: Node) -> tuple[Spec, ...]:
    if _several(root):
        gates = reading.typed(root, Gates)
        return gates.gates if gates is not None else ()
    spec = reading.typed(root, Spec)
    return (spec,) if spec is not None else ()


def _nonsense(reading: Reading, specs: tuple[Spec, ...]) -> list[Problem]:
    if not specs:
        return [_problem("gate.none", reading.file, START, "there is no gate in it", "add one under gates:")]
    several = "gates" in reading.places
    prefixes = [f"gates.{index}." if several else "" for index in range(len(specs))]
    pairs = zip(prefixes, specs, strict=True)
    found = [(prefix + slip.path, slip) for prefix, spec in pairs for slip in _slips(reading, prefix, spec)]
    found += [(prefixes[index] + slip.path, slip) for index, slip in contradictions(specs)]
    return [_problem_of(reading, path, slip) for path, slip in found]


def _problem_of(reading: Reading, path: str, slip: SpecSlip) -> Problem:
    problem = _problem("gate.nonsense", reading.file, _place(reading.places, path), slip.message, slip.hint)
    return msgspec.structs.replace(problem, path=path)


def _slips(reading: Reading, prefix: str, spec: Spec) -> list[SpecSlip]:
    given = [field for field in spec.__struct_fields__ if prefix + field in reading.places]
    found = [*slips(spec, given), *instants_wrong(spec)]
    near = did_you_mean(spec.metric, METRICS)
    return [msgspec.structs.replace(slip, hint=near) if slip.path == "metric" else slip for slip in found]


def _place(places: dict[str, Place], path: str) -> Place:
    while path not in places:
        path = path.rpartition(".")[0]
    return places[path]


def _problem(code: str, file: str, place: Place, message: str, hint: str = "") -> Problem:
    return Problem(code=code, file=file, line=place.line, column=place.column, path="", message=message, hint=hint)
