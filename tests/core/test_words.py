"""What people read when something is refused: every sentence of core, what to do next, and the particulars.

Codes are stable and sentences are not, but a sentence changes because somebody meant it to, and is read before it
ships. One that several situations share stands once. ``python -m tests.core.retake`` writes the table anew.
"""

import json
from collections.abc import Callable, Iterable
from hashlib import sha256

import msgspec
import pytest

from crossfade.core import board, capacity, evidence, measurements, rollouts, runs, shapes, signoffs, stages
from crossfade.core.decider import Refusal
from crossfade.core.signoff_events import Panel
from crossfade.core.values import Instant
from tests.core import (
    test_agents,
    test_board,
    test_capacity,
    test_credentials,
    test_measurements,
    test_messages,
    test_questions,
    test_rollouts,
    test_runs,
    test_shapes,
    test_signoff_answers,
    test_signoffs,
    test_stages,
)
from tests.kit.tables import rows

TABLE = rows("words")
NOW = Instant(1_000)
Row = tuple[str, str, str, str]


def of_rollouts() -> Iterable[object]:
    for commands, now in test_rollouts.GIVEN.values():
        state = test_rollouts.after(*commands)
        for command in test_rollouts.COMMANDS.values():
            yield rollouts.decide(state, command, now)
    for state, command in test_rollouts.OUT_OF_BOUNDS:
        yield rollouts.decide(state, command, test_rollouts.LATER)


def of_runs() -> Iterable[object]:
    yield from test_runs.MACHINE.refused()
    for command in test_runs.UNFIT:
        yield runs.decide(runs.State(), command, NOW)


DIGEST = test_runs.create().digest
"""Of the runsheet of those tests; another one whenever a runsheet may say more."""


def of_signoffs() -> Iterable[object]:
    yield from test_signoffs.MACHINE.refused()
    for wrong in test_signoffs.BAD_REQUESTS.values():
        yield signoffs.decide(signoffs.State(), msgspec.structs.replace(test_signoffs.REQUEST, **wrong), NOW)
    ana, bo = test_signoffs.ANA, test_signoffs.BO
    roles = {"a": Panel(members=(ana, bo)), "b": Panel(members=(ana,))}
    opened = test_signoffs.opened(msgspec.structs.replace(test_signoffs.REQUEST, roles=roles))
    yield signoffs.decide(opened, test_signoffs.give(ana, "a"), NOW)


def of_evidence() -> Iterable[object]:
    for content in (b"other", bytes(evidence.SIZE_BYTES_MAX + 1)):
        yield evidence.decide(evidence.State(), evidence.Keep(digest="d", media="", content=content), NOW)


def of_the_board() -> Iterable[object]:
    review = test_board.review()
    yield board.decide(board.State(), board.Record(**msgspec.structs.asdict(review)), NOW)


def of_shapes() -> Iterable[object]:
    for row in test_shapes.SHAPES:
        yield shapes.parse({"type": "object", "properties": {"x": json.loads(row["property"])}})
    for row in test_shapes.OBJECTS:
        yield shapes.parse(json.loads(row["schema"]))
    yield shapes.from_choices([])


def of_answers() -> Iterable[object]:
    for row in test_shapes.ANSWERS:
        yield shapes.check(test_shapes.with_note(row["property"]), json.loads(row["content"]))
    for row in test_shapes.REPLIES:
        yield shapes.from_text(test_shapes.with_note(row["property"]), row["text"].replace("\\n", "\n"))
    yield shapes.check_raw(shapes.canonical(test_shapes.with_note('{"type": "integer"}')), msgspec.Raw(b"{"))


def of_forms() -> Iterable[object]:
    for field, text, _ in test_signoff_answers.UNMEANT:
        yield test_signoff_answers.read(**{field: text})


def of_plans() -> Iterable[object]:
    yield from test_stages.MACHINE.refused()
    nothing = msgspec.structs.replace(test_stages.PLAN, gates={})
    for plan in (b'{"plan":1}', msgspec.json.encode(nothing)):
        accept = stages.Accept(plan=msgspec.Raw(plan), digest=sha256(plan).hexdigest())
        yield stages.decide(stages.State(), accept, NOW)


def of_measurements() -> Iterable[object]:
    yield from test_measurements.MACHINE.refused()
    on = test_measurements.MACHINE.after("rollout")
    many = [test_measurements.part(cluster=str(number)) for number in range(measurements.SLICES_MAX + 1)]
    once = test_measurements.part()
    blocks = [
        *(test_measurements.block(1_000, 1_010, bad) for bad in test_measurements.BAD.values()),
        *(test_measurements.block(1_000, 1_010, *more) for more in ((once, once), many)),
        test_measurements.block(down=11.5),
    ]
    for block in blocks:
        yield measurements.decide(on, measurements.Record(block=block), NOW)


def of_capacity() -> Iterable[object]:
    model = capacity.learn(test_capacity.points(), test_capacity.RUNGS)
    beyond = capacity.Stage(agents=7_000, questions_per_second=5.0, elicitation_share=0.5)
    nobody = msgspec.structs.replace(beyond, agents=0)
    for stage, headroom in ((beyond, 0.3), (nobody, 0.3), (beyond, 1.0)):
        yield capacity.plan(model, stage, headroom)


SUBJECTS: dict[str, Callable[[], Iterable[object]]] = {
    "agents": test_agents.MACHINE.refused,
    "credentials": test_credentials.MACHINE.refused,
    "messages": test_messages.MESSAGE.refused,
    "questions": test_questions.MACHINE.refused,
    "rollouts": of_rollouts,
    "runs": of_runs,
    "sign-offs": of_signoffs,
    "forms": of_forms,
    "evidence": of_evidence,
    "board": of_the_board,
    "shapes": of_shapes,
    "answers": of_answers,
    "plans": of_plans,
    "measurements": of_measurements,
    "capacity": of_capacity,
}


def written(refusal: Refusal) -> Row:
    """A refusal as a row."""
    details = json.dumps(refusal.details, ensure_ascii=False) if refusal.details else "-"
    cells = (refusal.message, refusal.hint or "-", details)
    message, hint, details = (cell.replace(DIGEST, "DIGEST").replace(DIGEST[:12], "DIGEST[:12]") for cell in cells)
    return refusal.code, message, hint, details


def said(subject: str) -> list[Row]:
    """What the refusals of a subject say, each once, sorted."""
    return sorted({written(one) for one in SUBJECTS[subject]() if isinstance(one, Refusal)})


def test_every_subject_of_the_table_is_looked_at() -> None:
    assert list(dict.fromkeys(row["subject"] for row in TABLE)) == list(SUBJECTS)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_refusal_says_what_the_table_says(subject: str) -> None:
    expected = [(row["code"], row["says"], row["try"], row["details"]) for row in TABLE if row["subject"] == subject]
    assert said(subject) == expected


def test_every_sentence_ends_and_says_nothing_twice() -> None:
    for row in TABLE:
        quotes_a_reason = row["code"] in ("rollout.held", "rollout.already_held", "plan.held", "plan.not_settled")
        assert row["says"].endswith(".") or quotes_a_reason, row
        assert row["try"] == "-" or row["try"].endswith((".", "}")), row
        assert row["says"] != row["try"], row
