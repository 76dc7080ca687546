"""Every maximum and waiting time the engine keeps to, with its unit and default; config.py fills it.

What happens at a limit is a refusal whose code begins with ``limit.`` or, for waits, an empty result.
"""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one hub."""

    wait_seconds_max: float = 55.0
    """A held call answers before clients give up at 60 s."""
    wait_seconds_default: float = 25.0
    poll_seconds_max: int = 300
    """Largest ``timeout_seconds`` that ``wait_for_messages`` accepts."""
    deadline_seconds_default: int = 600
    deadline_seconds_max: int = 30 * 86_400
    message_bytes_max: int = 65_536
    """Text of a question or a message."""
    metadata_bytes_max: int = 16_384
    schema_bytes_max: int = 16_384
    content_bytes_max: int = 262_144
    """Content of an answer."""
    fan_out_max: int = 256
    """Recipients of one message."""
    hops_max: int = 32
    """Length of a ``reply_to`` chain; stops two agents from thanking each other for ever."""
    page_items_max: int = 100
    """Items in one batch, page or listing."""
    open_questions_per_agent_max: int = 10_000
    """Open questions that one identity has asked, and that one identity has to answer."""
    mailbox_items_max: int = 100_000
    """Unacknowledged items of one recipient; the next send is refused."""
    agents_max: int = 50_000
    commands_per_second_max: float = 2_000.0
    """Asks, sends and answers of one identity, as a token bucket holding two seconds' worth."""
    pending_commits_max: int = 50_000
    """Commands waiting for the disk; the next is told to come back (503)."""
    events_per_batch_max: int = 2_000
    lease_seconds: float = 90.0
    """Silence after which an agent counts as away."""
    native_patience_seconds: float = 60.0
    """A client that took a question natively and is silent this long gets it as text as well."""
    blink_seconds: float = 1.5
    """A decline by a person's client sooner than this was made by a machine."""
    ended_questions_kept: int = 10_000
    """Ended questions held in memory; older ones are read from the log."""
    stream_items_max: int = 1_000
    """Items waiting for a slow stream reader before it is cut."""
    undo_seconds: int = 7 * 86_400
    """After removal, how long the kill switch can still bring polling back."""
    check_seconds: float = 10.0
    """Length of a block of measurements, while a baseline or a rollout is measured."""
    retries_max: int = 16
    """Attempts at a command that keeps losing the race for its stream."""
