"""Every call of the hub's HTTP API as one typed method. Paths are here and nowhere else in the SDK.

Not here: what an agent does with them (agent.py, inlet.py).
Calls that change something carry an idempotency key, made here when the caller gives none, so that a retry
after a lost reply is safe.
"""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

import msgspec

from crossfade.client.host import fresh_key
from crossfade.client.transport import Event, Query, Transport
from crossfade.client.views import (
    AgentView,
    IssuedToken,
    Me,
    Object,
    Page,
    QuestionView,
    RecordView,
    RolloutView,
    SentView,
    TokenView,
)


class Ask(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A question to be asked; exactly one of ``schema`` and ``choices``."""

    to: str
    message: str
    schema: Object | None = None
    choices: tuple[str, ...] | None = None
    deadline_seconds: float | None = None
    wait_seconds: float = 0.0
    reply_to: str | None = None
    metadata: Object = {}
    key: str = msgspec.field(default_factory=fresh_key)


class Reply(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An answer: ``accept`` with content that fits the shape, or ``decline``."""

    action: str
    content: Object | None = None
    reason: str = ""
    key: str = msgspec.field(default_factory=fresh_key)


class Send(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message. ``to`` may be empty when ``reply_to`` says where it goes."""

    to: tuple[str, ...] = ()
    body: str
    reply_to: str | None = None
    metadata: Object = {}
    key: str = msgspec.field(default_factory=fresh_key)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that the hub keeps by their digest."""

    digest: str
    media: str
    size_bytes: int
    content: bytes


class Api:
    """The HTTP API of one hub. Every method raises CrossfadeError."""

    def __init__(self, transport: Transport) -> None:
        """Use ``transport``; leaving the context closes it."""
        self.transport = transport

    async def __aenter__(self) -> Self:
        """Give itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.transport.close()

    # questions

    async def ask(self, ask: Ask) -> QuestionView:
        """Ask; returns when it is durable, or ended, or ``wait_seconds`` are over."""
        return await self.transport.post(QuestionView, "/v1/questions", ask, ask.wait_seconds)

    async def question(self, question_id: str, wait_seconds: float = 0.0) -> QuestionView:
        """Read a question, waiting at most so long for its end."""
        query = {"wait_seconds": wait_seconds}
        return await self.transport.get(QuestionView, f"/v1/questions/{question_id}", query, wait_seconds)

    async def open_questions(self, limit: int = 100) -> list[QuestionView]:
        """Open questions addressed to the caller, oldest first."""
        page = await self.transport.get(dict[str, list[QuestionView]], "/v1/questions", {"limit": limit})
        return page["questions"]

    async def answer(self, question_id: str, reply: Reply) -> QuestionView:
        """Answer or decline a question addressed to the caller."""
        return await self.transport.post(QuestionView, f"/v1/questions/{question_id}/answer", reply)

    async def withdraw(self, question_id: str, reason: str = "") -> QuestionView:
        """Take a question back."""
        body = {"reason": reason, "key": fresh_key()}
        return await self.transport.post(QuestionView, f"/v1/questions/{question_id}/withdraw", body)

    # messages

    async def send(self, message: Send) -> SentView:
        """Send a message."""
        return await self.transport.post(SentView, "/v1/messages", message)

    async def poll(self, *, after: int | None = None, wait_seconds: float = 0.0, limit: int = 100) -> Page:
        """Wait on the polling lane; ``after`` acknowledges everything up to it. Refused once the lane is removed."""
        query = {"after": after, "wait_seconds": wait_seconds, "limit": limit}
        return await self.transport.get(Page, "/v1/messages", query, wait_seconds)

    async def inbox(self, *, after: int | None = None, wait_seconds: float = 0.0, limit: int = 100) -> Page:
        """Wait for what is addressed to the caller, on either lane; the cursor is that of ``poll``."""
        query = {"after": after, "wait_seconds": wait_seconds, "limit": limit}
        return await self.transport.get(Page, "/v1/inbox", query, wait_seconds)

    def stream(self, last_event_id: str = "") -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """The event stream of the caller, resumed after ``last_event_id``."""
        return self.transport.stream("/v1/stream", last_event_id=last_event_id)

    # agents and credentials

    async def me(self) -> Me:
        """Who the caller is."""
        return await self.transport.get(Me, "/v1/me")

    async def agents(self, query: str = "", limit: int = 100) -> list[AgentView]:
        """Agents whose name contains ``query``."""
        page = await self.transport.get(dict[str, list[AgentView]], "/v1/agents", {"query": query, "limit": limit})
        return page["agents"]

    async def retire(self, name: str) -> AgentView:
        """Retire an agent."""
        return await self.transport.delete(AgentView, f"/v1/agents/{name}")

    async def tokens(self) -> list[TokenView]:
        """Every credential, without its secret."""
        return (await self.transport.get(dict[str, list[TokenView]], "/v1/tokens"))["tokens"]

    async def issue_token(self, body: Object) -> IssuedToken:
        """Mint a credential: ``name``, ``kind``, ``scopes``, ``expires_seconds``, ``label``."""
        return await self.transport.post(IssuedToken, "/v1/tokens", body)

    async def revoke_token(self, token_id: str) -> TokenView:
        """Revoke a credential at once."""
        return await self.transport.delete(TokenView, f"/v1/tokens/{token_id}")

    # rollout and log

    async def rollout(self) -> RolloutView:
        """Where the rollout stands."""
        return await self.transport.get(RolloutView, "/v1/rollout")

    async def steer(self, action: str, body: Object) -> RolloutView:
        """Change the rollout: start, set, hold, resume, kill, deprecate or remove."""
        return await self.transport.post(RolloutView, f"/v1/rollout/{action}", body)

    async def start_plan(self, plan: str, file: str) -> Object:
        """Let a plan drive the rollout; ``plan`` is its text, ``file`` what messages call it."""
        return await self.transport.post(dict[str, object], "/v1/rollout/plan", {"plan": plan, "file": file})

    async def plan(self) -> Object:
        """The plan that drives the rollout, or drove it last, with its gates."""
        return await self.transport.get(dict[str, object], "/v1/rollout/plan")

    async def stop_plan(self, reason: str) -> Object:
        """End the plan; the share stays where it is."""
        return await self.transport.post(dict[str, object], "/v1/rollout/plan/stop", {"reason": reason})

    async def gates(self) -> list[Object]:
        """Every gate, trigger and comparison of the plan as it stands."""
        return (await self.transport.get(dict[str, list[Object]], "/v1/gates"))["gates"]

    async def gate(self, name: str) -> Object:
        """One gate with its story."""
        return await self.transport.get(dict[str, object], f"/v1/gates/{name}")

    async def baseline(self) -> Object:
        """The newest baseline: whether it can be relied on, and what it says."""
        return await self.transport.get(dict[str, object], "/v1/baseline")

    async def steer_baseline(self, action: str, body: Object) -> Object:
        """Start or stop a baseline."""
        return await self.transport.post(dict[str, object], f"/v1/baseline/{action}", body)

    async def records(self, shard: int, query: Query) -> list[RecordView]:
        """Records of a shard ``after`` a sequence, at most ``limit``."""
        wait_seconds = float(query.get("wait_seconds") or 0.0)
        page = await self.transport.get(dict[str, list[RecordView]], f"/v1/log/{shard}", query, wait_seconds)
        return page["records"]

    async def whole_records(self, shard: int, after: int) -> list[dict[str, msgspec.Raw]]:
        """A page of records of a shard, every column as the hub sent it, so that their chain can be computed."""
        query: Query = {"after": after, "limit": 100}
        return (await self.transport.get(dict[str, list[dict[str, msgspec.Raw]]], f"/v1/log/{shard}", query))["records"]

    async def verify_log(self, shard: int, after: int) -> Object:
        """The next stretch of a shard read again by the hub: ``through``, ``end``, ``first_bad``."""
        return await self.transport.get(dict[str, object], f"/v1/log/{shard}/verify", {"after": after})

    async def backup(self) -> Object:
        """Let the hub copy its log: ``path`` on its machine, ``ends``."""
        return await self.transport.post(dict[str, object], "/v1/log/backup", {})

    async def checkpoints(self, shard: int) -> Object:
        """The signed checkpoints of a shard: ``public_key``, ``checkpoints``."""
        return await self.transport.get(dict[str, object], f"/v1/log/{shard}/checkpoints")

    async def log_head(self) -> list[Object]:
        """The end of every shard."""
        return (await self.transport.get(dict[str, list[Object]], "/v1/log/head"))["shards"]

    # sign-offs and certificates

    async def request_signoff(self, body: Object) -> Object:
        """Ask the members of roles to sign: ``subject``, ``about``, ``parts``, ``roles``, ``deadline_seconds``."""
        return await self.transport.post(dict[str, object], "/v1/signoffs", body)

    async def signoffs(self, query: Query) -> list[Object]:
        """Sign-offs, newest first."""
        return (await self.transport.get(dict[str, list[Object]], "/v1/signoffs", query))["signoffs"]

    async def signoff(self, signoff_id: str) -> Object:
        """One sign-off."""
        return await self.transport.get(dict[str, object], f"/v1/signoffs/{signoff_id}")

    async def end_signoff(self, signoff_id: str, action: str, reason: str) -> Object:
        """``withdraw`` it, or ``stop`` it as a member of one of its roles."""
        return await self.transport.post(dict[str, object], f"/v1/signoffs/{signoff_id}/{action}", {"reason": reason})

    async def certificates(self, limit: int = 100) -> list[Object]:
        """Certificates, newest first, without their bytes."""
        page = await self.transport.get(dict[str, list[Object]], "/v1/certificates", {"limit": limit})
        return page["certificates"]

    async def kept(self, kind: str, digest: str) -> Kept:
        """The bytes of one of the ``certificates`` or of ``evidence``."""
        return await self.transport.get(Kept, f"/v1/{kind}/{digest}")

    async def keep(self, content: bytes, media: str) -> str:
        """Keep bytes; their digest."""
        body = {"content": b64encode(content).decode(), "media": media}
        return (await self.transport.post(dict[str, str], "/v1/evidence", body))["digest"]

    async def review(self, runsheet: str) -> Object:
        """Have a runsheet reviewed, recorded and certified; ``runsheet`` is its canonical JSON."""
        return await self.transport.post(dict[str, object], "/v1/reviews", {"runsheet": runsheet})

    async def board(self) -> Object:
        """Component by runsheet version."""
        return await self.transport.get(dict[str, object], "/v1/board")

    # runs

    async def create_run(self, body: Object) -> Object:
        """Begin a run: ``runsheet``, ``digest``, ``forced``, ``key``."""
        return await self.transport.post(dict[str, object], "/v1/runs", body)

    async def runs(self, limit: int = 100) -> list[Object]:
        """Runs, newest first, without their nodes."""
        return (await self.transport.get(dict[str, list[Object]], "/v1/runs", {"limit": limit}))["runs"]

    async def run(self, run_id: str) -> Object:
        """A run with its nodes."""
        return await self.transport.get(dict[str, object], f"/v1/runs/{run_id}")

    async def export_run(self, run_id: str) -> bytes:
        """The whole of a run, as the hub sends it."""
        return await self.transport.call("GET", f"/v1/runs/{run_id}/export")

    async def steer_run(self, run_id: str, action: str, body: Object) -> Object:
        """Change a run: pause, resume, release, skip, waive, abort or migrate."""
        return await self.transport.post(dict[str, object], f"/v1/runs/{run_id}/{action}", body)
