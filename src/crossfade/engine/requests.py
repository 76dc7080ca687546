"""What entry points hand to the hub and get back: plain data, the same for MCP, HTTP, console and CLI.

Views are what users read; their field names are the JSON that goes out (``from`` and ``to`` are renamed
from Python-safe names). Instants go out as ISO 8601 in UTC with microseconds and ``Z``.
"""

from typing import Literal

import msgspec

from crossfade.core.values import AgentName, Channel, Kind, Lane

Delivery = Literal["queued", "offered", "seen", "answered"]
"""How far a question verifiably got; never ahead of the truth."""


# --- requests ---------------------------------------------------------------------------------------


class AskRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    to: str
    message: str
    schema: msgspec.Raw | None = None
    """JSON Schema in the elicitation subset; exactly one of this and ``choices``."""
    choices: tuple[str, ...] | None = None
    deadline_seconds: float | None = None
    key: str | None = None
    """Idempotency key: the same caller with the same key gets the first result again."""
    reply_to: str | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


class AnswerRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    question_id: str
    action: Literal["accept", "decline"] = "accept"
    content: msgspec.Raw | None = None
    """JSON object that fits the shape; needed to accept."""
    reason: str = ""
    key: str | None = None
    channel: Channel = Channel.INBOX


class NativeReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a client sent back to an elicitation; the hub decides what it means."""

    question_id: str
    action: Literal["accept", "decline", "cancel"]
    content: msgspec.Raw | None = None


class SendRequest(msgspec.Struct, frozen=True, kw_only=True):
    to: tuple[str, ...]
    """May be empty when ``reply_to`` names a question or message: then it goes to whoever sent that."""
    body: str
    reply_to: str | None = None
    """A question addressed to the caller: the body is its answer. Else a message or question to refer to."""
    key: str | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


class ReceiveRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Wait for what is addressed to the caller."""

    channel: Channel
    wait_seconds: float = 25.0
    after: int | None = None
    """Acknowledges everything up to this sequence. None: go on from the stored cursor."""
    limit: int = 100
    native: bool = False
    """The caller's client declared form elicitation and this call can carry it."""


# --- views ------------------------------------------------------------------------------------------


class QuestionView(msgspec.Struct, frozen=True, kw_only=True, rename={"asker": "from", "addressee": "to"}, gc=False):
    question_id: str
    status: str
    """open, answered, declined, withdrawn or expired."""
    delivery: Delivery
    asker: AgentName
    addressee: AgentName
    message: str
    schema: msgspec.Raw
    asked_at: str
    deadline: str
    lane: Lane
    exposure: str
    channels: tuple[Channel, ...] = ()
    """Channels on which it was shown, in order."""
    dismissals: tuple[str, ...] = ()
    content: msgspec.Raw = msgspec.Raw(b"null")
    """The answer; null unless answered."""
    reason: str = ""
    ended_at: str | None = None
    ended_by: str = ""
    conversation: str = ""
    reply_to: str = ""
    sequence: int = 0
    """Where it was asked in the log."""
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


class Item(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from"}, omit_defaults=True, gc=False):
    """Something in a mailbox, as text: the element of ``wait_for_messages``."""

    sequence: int
    id: str
    kind: Literal["message", "question", "answer", "notice"]
    """``answer`` is the end of a question that the recipient asked, whichever end it was."""
    sender: str
    content: str
    """Text of the message or question; of an answer, its content as JSON, or how it ended."""
    timestamp: str
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    reply_to: str = ""
    conversation: str = ""
    question: QuestionView | None = None
    """For kinds ``question`` and ``answer``."""


class Batch(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a wait brought."""

    items: tuple[Item, ...] = ()
    """Text items, oldest first, with sequences above the acknowledged one."""
    questions: tuple[QuestionView, ...] = ()
    """To be elicited natively by the carrier (only when the request said ``native``); at most one."""
    has_more: bool = False
    cursor: int = 0
    """Pass this as ``after`` next time: the last sequence in ``items``, else the cursor already held."""
    lane: Lane = Lane.POLLING
    """Lane of the caller now."""
    notice: str = ""
    """Deprecation notice for those still polling; empty otherwise."""


class SentView(msgspec.Struct, frozen=True, kw_only=True):
    message_id: str
    """Id of the message, or of the question that the body answered."""
    sequence: int
    delivery: dict[str, str]
    """Recipient → ``queued`` (it is present), ``queued, away since …``, ``queued, never seen``, or ``answered``."""
    conversation: str


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    name: AgentName
    kind: Kind
    status: str
    """present, away or retired."""
    lane: Lane
    cluster: str
    native: bool
    client: str
    seen_at: str | None
    open_questions: int
    """Questions addressed to it that have no end yet."""


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    token_id: str
    name: AgentName
    kind: Kind
    scopes: tuple[str, ...]
    status: str
    """valid, expired or revoked."""
    expires_at: str | None


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True):
    token_id: str
    token: str
    """The secret; shown this once."""
    name: AgentName
    scopes: tuple[str, ...]
    expires_at: str | None


class RolloutView(msgspec.Struct, frozen=True, kw_only=True):
    status: str
    """polling, dual, elicitation, deprecated or removed."""
    name: str
    share: float
    """Target share of weight on the elicitation lane, 0 to 1."""
    achieved: float
    """Share of weight that the threshold really puts there."""
    threshold: float
    held: bool
    held_reason: str
    epoch: int
    salt: str
    clusters: int
    agents: int
    agents_on_elicitation: int
    oversized: tuple[str, ...]
    """Labelled clusters above the size cap."""
    killed_by_file: bool
    open_questions: dict[str, int]
    """Lane → open questions begun on it."""
    sunset_at: str | None
    notice: str
    undo_until: str | None


class RecordView(msgspec.Struct, frozen=True, kw_only=True):
    shard: int
    sequence: int
    stream: str
    version: int
    type: str
    at: str
    actor: str
    cause: str
    event: msgspec.Raw
    chain: str
    """Hex."""
    at_nanoseconds: int
    """The exact instant, since 1970 in UTC: with ``key`` and ``event`` as sent, all that the chain is made of."""
    key: str
    """Idempotency key, hex."""


class SliceView(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a shard, read again from the disk."""

    shard: int
    through: int
    """Everything after the given sequence up to here was read."""
    end: int
    """Where the shard ends now."""
    first_bad: int | None
    """The first record that is missing or not as it was written."""


class BackupView(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of the log that was read through and holds."""

    path: str
    """Its folder, on the hub's machine."""
    ends: dict[int, int]
    """Shard → the last sequence in the copy."""


class NotesView(msgspec.Struct, frozen=True, kw_only=True):
    """The signed checkpoints of a shard."""

    public_key: str
    """PEM; empty if this hub keeps no checkpoints."""
    checkpoints: list[str]
    """As they are kept, oldest first."""


class StreamItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing on the event stream."""

    event: Literal["hello", "question", "message", "end", "notice", "lane"]
    id: str
    """``shard-sequence``: what Last-Event-ID resumes after; empty for hello and lane."""
    data: bytes
    """JSON: a QuestionView (question, end), an Item (message, notice), or ``{"lane","cursor","agent"}``."""
