"""Phases, gates and sign-offs as a directed graph: in words, and in the DOT language of Graphviz."""

from collections.abc import Iterator

from crossfade.core.review.facts import share_text
from crossfade.core.runsheets import Gate, Phase, Runsheet, SignOff
from crossfade.runsheets.plan import asked


def words(runsheet: Runsheet) -> Iterator[str]:
    """Each phase, and below it what holds its beginning and its end."""
    for place, phase in enumerate(runsheet.phases):
        if place:
            yield "  |"
        yield f"[{phase.title}] weeks {phase.first_week} to {phase.last_week}, {share_text(phase.share)}"
        yield from _held("in ", phase.entry, phase.entry_signoffs)
        yield from _held("out", phase.exit, phase.exit_signoffs)


def _held(way: str, gates: tuple[Gate, ...], signoffs: tuple[SignOff, ...]) -> Iterator[str]:
    for gate in gates:
        yield f"  {way} gate {gate.id}: {asked(gate)}"
    for signoff in signoffs:
        yield f"  {way} sign-off {', '.join(signoff.roles)}: {signoff.about}"


def dot(runsheet: Runsheet) -> str:
    """The graph in DOT: boxes are phases, diamonds are what holds the way from one to the next."""
    lines = [f"digraph {_quoted(runsheet.name)} {{", "  rankdir=LR;", "  node [fontname=sans];"]
    for index, phase in enumerate(runsheet.phases):
        label = f"{phase.title}\n{share_text(phase.share)}"
        lines.append(f"  {_quoted('phase ' + phase.id)} [shape=box label={_quoted(label)}];")
        lines += _way(phase, index)
        if index:
            before = runsheet.phases[index - 1]
            lines.append(f"  {_quoted('out ' + before.id)} -> {_quoted('in ' + phase.id)};")
    return "\n".join((*lines, "}", ""))


def _way(phase: Phase, index: int) -> Iterator[str]:
    inward = [gate.id for gate in phase.entry] + [f"signed by {', '.join(s.roles)}" for s in phase.entry_signoffs]
    outward = [gate.id for gate in phase.exit] + [f"signed by {', '.join(s.roles)}" for s in phase.exit_signoffs]
    for way, told in (("in", inward), ("out", outward)):
        label = "\n".join(told) or "nothing"
        yield f"  {_quoted(f'{way} {phase.id}')} [shape=diamond label={_quoted(label)}];"
    yield f"  {_quoted('in ' + phase.id)} -> {_quoted('phase ' + phase.id)} -> {_quoted('out ' + phase.id)};"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
