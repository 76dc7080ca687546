"""One simulated agent against scripted replies: it waits, answers, is asked natively, is refused, comes back."""

import asyncio
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from crossfade.fleet.journal import Entry, Step, read_journal
from crossfade.fleet.load.crew import Crew
from crossfade.fleet.load.frames import Caller
from crossfade.fleet.load.journals import Journals
from crossfade.fleet.load.line import Line, Place
from crossfade.fleet.load.member import Listener, Member, Poller
from crossfade.fleet.load.profile import Phase, Profile


class Scripted(Line):
    """A line whose other end is the test."""

    def __init__(self, owner: Member, crew: Crew) -> None:
        super().__init__(owner, crew.carried)
        self.sent: deque[bytes] = deque()

    def send(self, request: bytes) -> None:
        self.sent.append(request)

    def drop(self) -> None:
        self.owner.on_lost(self)

    def call(self) -> dict[str, object]:
        """The arguments of the oldest call that was not looked at."""
        body = self.sent.popleft().partition(b"\r\n\r\n")[2]
        params: dict[str, object] = msgspec.json.decode(body)["params"]
        return params


class World:
    def __init__(self, folder: Path) -> None:
        profile = Profile(agents=2, phases=(Phase("steady", 1, 1),))
        self.folder = folder
        self.crew = Crew(Place("127.0.0.1", 1, ()), profile, "run", Journals(folder, 0), 0)
        self.ends: list[tuple[str, str, bytes, str]] = []
        self.crew.on_end = lambda *told: self.ends.append(told)

    def open(self, member: Member) -> Scripted:
        line = Scripted(member, self.crew)
        member.on_open(line)
        return line

    def entries(self) -> list[Entry]:
        self.crew.journals.close()
        found = [entry for file in self.folder.glob("*.jsonl") for entry in read_journal(file)]
        return sorted(found, key=lambda entry: entry.at_ns)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    async def make() -> World:
        return World(tmp_path)

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    made = loop.run_until_complete(make())
    yield made
    made.crew.journals.close()
    loop.close()
    asyncio.set_event_loop(None)


def caller() -> Caller:
    return Caller("bob", "token", "127.0.0.1:1", capable=True)


def result(content: object, **more: object) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": {"structuredContent": content, **more}})


def question(number: int, sequence: int) -> dict[str, object]:
    return {"sequence": sequence, "kind": "question", "from": "ann", "question": {"question_id": f"q_{number}"}}


def said(line: Scripted, member: Member, body: bytes, status: int = 200) -> None:
    member.on_reply(line, status, body)


def test_it_waits_answers_each_question_differently_and_waits_again(world: World) -> None:
    agent = Poller(world.crew, caller(), b"wait_for_messages", 30)
    line = world.open(agent)
    assert line.call()["arguments"] == {"agent_id": "bob", "timeout_seconds": 30, "since_sequence": 0}
    batch = {"messages": [question(1, 7), question(2, 8)], "cursor": 8, "lane": "polling"}
    said(line, agent, result(batch))
    first = line.call()
    said(line, agent, result({"question_id": "q_1", "status": "answered"}))
    second = line.call()
    said(line, agent, result({"question_id": "q_2", "status": "answered"}))
    assert (first["name"], second["name"]) == ("answer", "answer")
    assert first["arguments"]["content"] != second["arguments"]["content"]  # type: ignore[index]
    assert line.call()["arguments"] == {"agent_id": "bob", "timeout_seconds": 30, "since_sequence": 8}
    assert world.crew.answering == 0
    assert [(entry.step, entry.question, entry.status) for entry in world.entries()] == [
        (Step.RECEIVED, "q_1", ""),
        (Step.RECEIVED, "q_2", ""),
        (Step.ANSWERED, "q_1", "accepted"),
        (Step.ANSWERED, "q_2", "accepted"),
    ]


def test_a_question_that_comes_twice_gets_two_different_answers(world: World) -> None:
    agent = Poller(world.crew, caller(), b"wait_for_messages", 30)
    line = world.open(agent)
    line.sent.clear()
    said(line, agent, result({"messages": [question(1, 7), question(1, 8)]}))
    first = line.call()
    said(line, agent, result({"question_id": "q_1", "status": "answered"}))
    second = line.call()
    assert first["arguments"]["content"] != second["arguments"]["content"]  # type: ignore[index]
    assert first["arguments"]["key"] != second["arguments"]["key"]  # type: ignore[index]


def test_it_answers_what_it_is_asked_natively_in_the_same_call(world: World) -> None:
    agent = Poller(world.crew, caller(), b"attend", 30)
    line = world.open(agent)
    waited = line.call()
    asked = {"resultType": "input_required", "inputRequests": {"q_1": {"params": {}}}, "requestState": "sealed"}
    said(line, agent, result({}, **asked))
    again = line.call()
    assert (again["name"], again["arguments"], again["requestState"]) == ("attend", waited["arguments"], "sealed")
    assert again["inputResponses"]["q_1"]["action"] == "accept"  # type: ignore[index]
    said(line, agent, result({"messages": [], "elicited": [{"question_id": "q_1", "status": "answered"}]}))
    assert line.call()["name"] == "attend"
    assert world.crew.counts["empty"] == 0
    found = world.entries()
    assert [(entry.step, entry.status, entry.channel) for entry in found] == [
        (Step.RECEIVED, "", "native"),
        (Step.ANSWERED, "accepted", ""),
    ]
    assert found[0].lane == "elicitation"


@pytest.mark.parametrize("tool", [b"wait_for_messages", b"attend"])
def test_it_notes_since_when_it_was_waiting_for_what_came(world: World, tool: bytes) -> None:
    agent = Poller(world.crew, caller(), tool, 30)
    line = world.open(agent)
    began_ns = agent.waiting_since_ns
    said(line, agent, result({"messages": [question(1, 7)]}))
    said(line, agent, result({"question_id": "q_1", "status": "answered"}))
    again_ns = agent.waiting_since_ns
    said(line, agent, result({}, resultType="input_required", inputRequests={"q_2": {}}, requestState="s"))
    said(line, agent, result({}, resultType="input_required", inputRequests={"q_3": {}}, requestState="s"))
    received = [entry for entry in world.entries() if entry.step is Step.RECEIVED]
    assert [entry.since_ns for entry in received[:2]] == [began_ns, again_ns]
    assert began_ns < received[0].at_ns < again_ns < received[1].at_ns < received[2].since_ns, "it did not hear then"


def test_an_answer_that_the_hub_did_not_take_is_not_called_accepted(world: World) -> None:
    agent = Poller(world.crew, caller(), b"attend", 30)
    line = world.open(agent)
    said(line, agent, result({}, resultType="input_required", inputRequests={"q_1": {}}, requestState="s"))
    said(line, agent, result({"elicited": [{"question_id": "q_1", "status": "expired"}]}))
    assert [entry.status for entry in world.entries() if entry.step is Step.ANSWERED] == ["expired"]


def test_an_empty_wait_is_counted_and_followed_by_another(world: World) -> None:
    agent = Poller(world.crew, caller(), b"wait_for_messages", 30)
    line = world.open(agent)
    line.sent.clear()
    said(line, agent, result({"messages": [], "cursor": 0}))
    assert world.crew.counts["empty"] == 1
    assert line.call()["name"] == "wait_for_messages"


def test_the_end_of_its_own_question_goes_to_whoever_asks(world: World) -> None:
    agent = Poller(world.crew, caller(), b"wait_for_messages", 30)
    line = world.open(agent)
    own = {"question_id": "q_9", "status": "answered", "content": {"ok": True}}
    said(line, agent, result({"messages": [{"sequence": 3, "kind": "answer", "from": "ann", "question": own}]}))
    assert world.ends == [("q_9", "answered", b'{"ok":true}', "poll")]


def test_what_was_under_way_is_sent_again_byte_for_byte_on_a_new_line(world: World) -> None:
    agent = Poller(world.crew, caller(), b"wait_for_messages", 30)
    line = world.open(agent)
    said(line, agent, result({"messages": [question(1, 7)], "cursor": 7}))
    answer = line.sent[-1]
    agent.on_lost(line)
    assert world.open(agent).sent[0] == answer
    assert world.crew.counts["lost"] == 1


def test_a_refusal_for_good_is_a_fault_of_the_run_and_one_for_the_moment_is_not(world: World) -> None:
    agent = Poller(world.crew, caller(), b"wait_for_messages", 30)
    line = world.open(agent)
    refusal = {"error": {"code": "limit.rate", "message": "slowly"}}
    said(line, agent, result(refusal, isError=True))
    assert not world.crew.faults
    said(line, agent, result({"error": {"code": "identity.mismatch", "message": "not you"}}, isError=True))
    assert list(world.crew.faults) == ["wait refused: identity.mismatch not you"]


def test_an_answer_to_a_question_that_has_its_end_is_journalled_with_the_code(world: World) -> None:
    agent = Poller(world.crew, caller(), b"wait_for_messages", 30)
    line = world.open(agent)
    said(line, agent, result({"messages": [question(1, 7)]}))
    said(line, agent, result({"error": {"code": "question.closed", "message": ""}}, isError=True))
    assert [entry.status for entry in world.entries() if entry.step is Step.ANSWERED] == ["question.closed"]


def test_it_counts_as_attached_once_however_often_it_is_held(world: World) -> None:
    agent = Poller(world.crew, caller(), b"wait_for_messages", 30)
    line = world.open(agent)
    agent.on_held(line)
    agent.on_held(line)
    assert world.crew.attached == 1
    agent.on_lost(line)
    assert world.crew.attached == 0


def test_a_listener_resumes_its_stream_after_the_last_event_it_saw(world: World) -> None:
    agent = Listener(world.crew, caller())
    line = world.open(agent)
    assert b"Last-Event-ID" not in line.sent.popleft()
    agent.on_event(line, b"hello", b"", b'{"lane":"elicitation"}')
    agent.on_event(line, b"question", b"1-42", b'{"question_id":"q_1","from":"ann","status":"open"}')
    assert world.crew.answering == 1
    agent.on_lost(line)
    assert b"Last-Event-ID: 1-42\r\n" in world.open(agent).sent[0]
    (entry,) = world.entries()
    assert (entry.step, entry.peer, entry.channel, entry.lane) == (Step.RECEIVED, "ann", "stream", "elicitation")
