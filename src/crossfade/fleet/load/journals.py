"""The journals of all agents of one load process, in files: what fleet/journal.py is for one agent.

The same entries in the same order for each agent, so that the reconciliation and ``crossfade check`` read them.
Spread over ``BUCKETS`` files by the question, so that a long run is reconciled a part at a time.
"""

from pathlib import Path
from typing import Final

import msgspec

from crossfade.fleet.host import monotonic_ns
from crossfade.fleet.journal import Entry, Step

BUCKETS: Final = 16
BUFFER_BYTES: Final = 262_144


def bucket_of(question_id: str) -> int:
    """In which file the entries about a question are; ids end in random letters."""
    return ord(question_id[-1]) % BUCKETS


def bucket_files(folder: Path, bucket: int) -> list[Path]:
    """The files of one bucket, of all processes."""
    return sorted(folder.glob(f"*-{bucket:02}.jsonl"))


class Journals:
    """Where one process writes."""

    def __init__(self, folder: Path, process: int) -> None:
        self.received_count = 0
        self.entries = 0
        self._encode = msgspec.json.Encoder().encode
        self._files = [(folder / f"load-{process}-{bucket:02}.jsonl").open("ab", BUFFER_BYTES)
                       for bucket in range(BUCKETS)]  # fmt: skip

    def asked(self, agent: str, question: str, peer: str, since_ns: int) -> None:
        """The hub acknowledged a question."""
        now = monotonic_ns()
        self._write(Entry(agent=agent, step=Step.ASKED, question=question, at_ns=now, peer=peer, since_ns=since_ns))

    def received(self, agent: str, question: str, peer: str, channel: str, lane: str, since_ns: int = 0) -> None:
        """A question is in front of an agent who has been waiting since then."""
        self.received_count += 1
        entry = Entry(
            agent=agent, step=Step.RECEIVED, question=question, at_ns=monotonic_ns(), peer=peer, since_ns=since_ns,
            channel=channel, lane=lane,
        )  # fmt: skip
        self._write(entry)

    def answered(self, agent: str, question: str, status: str, content: str, own_seconds: float) -> None:
        """The hub took notice of an answer."""
        entry = Entry(
            agent=agent,
            step=Step.ANSWERED,
            question=question,
            at_ns=monotonic_ns(),
            status=status,
            content=content,
            own_ns=int(own_seconds * 1e9),
        )
        self._write(entry)

    def ended(self, agent: str, question: str, status: str, content: bytes, channel: str) -> None:
        """An asker knows how its question ended; ``content`` is JSON, ``null`` for none."""
        text = "" if content == b"null" else canonical(content)
        entry = Entry(
            agent=agent,
            step=Step.ENDED,
            question=question,
            at_ns=monotonic_ns(),
            status=status,
            content=text,
            channel=channel,
        )
        self._write(entry)

    def flush(self) -> None:
        """Give the system what is buffered: it survives this process."""
        for file in self._files:
            file.flush()

    def close(self) -> None:
        """Write out what is buffered."""
        for file in self._files:
            file.close()

    def _write(self, entry: Entry) -> None:
        self.entries += 1
        self._files[bucket_of(entry.question)].write(self._encode(entry) + b"\n")


def canonical(content: bytes) -> str:
    """JSON with sorted keys."""
    return msgspec.json.encode(msgspec.json.decode(content), order="sorted").decode()
