"""What a hub sends, as plain data. Field names are those of the JSON (``from`` and ``to`` renamed).

A later hub may send more fields; they are ignored. A contract test keeps these in step with the server's.
"""

import msgspec

Object = dict[str, object]


class QuestionView(msgspec.Struct, frozen=True, kw_only=True, rename={"asker": "from", "addressee": "to"}):
    """A question as the hub has it now."""

    question_id: str
    status: str
    """open, answered, declined, withdrawn or expired."""
    delivery: str
    """queued, offered, seen or answered."""
    asker: str
    addressee: str
    message: str
    schema: Object
    asked_at: str
    deadline: str
    lane: str
    exposure: str
    channels: tuple[str, ...] = ()
    dismissals: tuple[str, ...] = ()
    content: Object | None = None
    reason: str = ""
    ended_at: str | None = None
    ended_by: str = ""
    conversation: str = ""
    reply_to: str = ""
    sequence: int = 0
    metadata: Object = {}


class Item(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """Something in a mailbox."""

    sequence: int
    id: str
    kind: str
    """message, question, answer or notice."""
    sender: str
    content: str
    timestamp: str
    metadata: Object = {}
    reply_to: str = ""
    conversation: str = ""
    question: QuestionView | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What a wait for messages brought."""

    messages: tuple[Item, ...] = ()
    has_more: bool = False
    cursor: int = 0
    lane: str = "polling"
    notice: str = ""


class SentView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a message went."""

    message_id: str
    sequence: int
    delivery: dict[str, str]
    conversation: str


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who the credential says the caller is."""

    name: str
    kind: str
    scopes: tuple[str, ...]
    guest: bool
    lane: str | None
    status: str
    open_questions: int


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    """An agent."""

    name: str
    kind: str
    status: str
    lane: str
    cluster: str
    native: bool
    client: str
    seen_at: str | None
    open_questions: int


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A credential, without its secret."""

    token_id: str
    name: str
    kind: str
    scopes: tuple[str, ...]
    status: str
    expires_at: str | None


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A credential with its secret, which is shown this once."""

    token_id: str
    token: str
    name: str
    scopes: tuple[str, ...]
    expires_at: str | None


class RolloutView(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rollout stands."""

    status: str
    name: str
    share: float
    achieved: float
    threshold: float
    held: bool
    held_reason: str
    epoch: int
    salt: str
    clusters: int
    agents: int
    agents_on_elicitation: int
    oversized: tuple[str, ...]
    killed_by_file: bool
    open_questions: dict[str, int]
    sunset_at: str | None
    notice: str
    undo_until: str | None


class RecordView(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the log."""

    shard: int
    sequence: int
    stream: str
    version: int
    type: str
    at: str
    actor: str
    cause: str
    event: Object
    chain: str
    at_nanoseconds: int
    key: str
