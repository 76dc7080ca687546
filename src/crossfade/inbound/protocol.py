"""The HTTP/1.1 connection: uvicorn's httptools protocol with the bounds it lacks.

What it adds: a deadline for the whole request, caps on headers and body, a cap on connections,
one ``Host``, hard abort and a disconnect signal for the application. Not here: listening and
stopping (inbound/server.py), streams (inbound/asgi.py), anything about routes.

Rules
-----
1. A request that breaks a bound never reaches the application, or reaches it as a disconnect.
2. A refusal is written only where the client is sure to take it for the answer to this request;
   otherwise the connection is dropped.
3. After a refusal the connection lingers: what the client is still sending is read and thrown
   away, because closing over unread bytes would reset the connection and destroy the answer.

It rests on internals of uvicorn 0.54, which tests/contract/test_http_server.py names one by one.
Sources: RFC 9110, RFC 9112 (§3.2 Host, §6.3 length, §9.6 tear-down), RFC 6585 §5 (431).
"""

import asyncio
from typing import Final, NoReturn, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from crossfade.inbound.asgi import ABORT, LOST, TIMER_SECONDS, Scope
from crossfade.inbound.bare import NOTHING_BEHIND, BareProtocol
from crossfade.inbound.front import Coming, Found, Heads, Turn
from crossfade.inbound.gate import (
    HOST,
    MALFORMED,
    TARGET,
    Gate,
    RefusalAnswer,
    body_too_large,
    busy,
    headers_too_large,
    names_host,
    written,
)
from crossfade.inbound.strand import Work

BYTES_PER_BODY_BYTE_MAX: Final = 8
"""A body sent in one-byte chunks takes 6 bytes for each; more is chunk extensions or trailers."""
KEPT_BYTES: Final = 16_384  # a request for the front up to this is kept until it is whole; a longer one goes to ASGI


class RefusedError(Exception):
    """Stops the parser. Never leaves this module."""


class BoundedProtocol(BareProtocol):
    """One connection. Created by uvicorn, with ``gate`` bound in by the server."""

    __slots__ = (
        "_answer", "_arriving", "_begun", "_body_bytes", "_coming", "_deadline", "_gate", "_head_done",
        "_idle_timer_at", "_idle_until", "_kept", "_limits", "_raw_bytes", "_refused", "heads",
    )  # fmt: skip

    def __init__(
        self,
        gate: Gate,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._gate = gate
        self._limits = gate.limits
        self._deadline: asyncio.TimerHandle | None = None
        self._arriving = False  # a request has begun and is not complete
        self._head_done = False  # …and its head is
        self._begun = 0  # requests begun in the bytes being parsed
        self._raw_bytes = 0  # received of the request that is arriving
        self._body_bytes = 0
        self._answer: RefusalAnswer | None = None
        self._refused = False
        self.heads: Heads | None = None
        self._coming: Coming | None = None  # a request for the front, until that has it
        self._kept = b""  # the beginning of a request whose head is known
        self._idle_until = self._idle_timer_at = 0.0

    # --- the connection ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, or turn it away with 503."""
        if len(self.connections) >= self._gate.connections_max:
            self._shed(transport)
            return
        super().connection_made(transport)
        self._arm()
        self._gate.admitted()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and break every reference cycle: frozen objects are not collected."""
        self._disarm()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._gate.lingering.discard(self.transport)
        self.pipeline = NOTHING_BEHIND  # type: ignore[assignment]
        self.cycle = self.scope = self.heads = self._coming = self.held = None  # type: ignore[assignment]
        if not self.connections:
            self._gate.emptied.set()

    # --- the deadline ---

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self._limits.request_seconds, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        """Abort a request that did not arrive in time, unless it was us who stopped reading."""
        if self.flow.read_paused:
            self._arm()
        else:
            self.transport.abort()

    def _owes_request(self) -> bool:
        """Tell whether a request has begun, or bytes came that are none yet and no other timer runs."""
        if self._arriving or self._kept:
            return True
        return self._is_idle() and self.timeout_keep_alive_task is None and not self.transport.is_closing()

    def _is_idle(self) -> bool:
        current: RequestResponseCycle | None = self.cycle  # uvicorn's own annotation hides that there may be none
        return current is None or current.response_complete

    # --- parsing ---

    def data_received(self, data: bytes) -> None:
        """Parse, then bound what is still incomplete."""
        if self._refused:
            return
        whole = not self._arriving
        if whole and self.heads is not None:
            data = self._kept + data if self._kept else data
            found = self.heads.recall(data)
            if found is not None and self._recalled(data, found):
                return
            self._kept = b""
        self._begun = 0
        super().data_received(data)
        coming = self._coming
        if coming is not None and coming.whole:
            self._came(coming, data if whole and self._begun == 1 else b"")
        if self._arriving and self._begun == int(whole):  # all of ``data`` belongs to the arriving request
            self._raw_bytes += len(data)
            self._check_raw()
        if self._deadline is None and self._owes_request():
            self._arm()

    def _check_raw(self) -> None:
        """Bound what the parser may be keeping back: half a header, chunk extensions, trailers."""
        limits = self._limits
        if not self._head_done:
            if self._raw_bytes > limits.header_bytes:
                self._refuse(headers_too_large(limits))
        elif self._raw_bytes > limits.header_bytes + BYTES_PER_BODY_BYTE_MAX * limits.body_bytes:
            self._refuse(body_too_large(limits))

    # --- the front ---

    def _recalled(self, data: bytes, found: Found) -> bool:
        """Whether ``data`` is a request with a known head, or the beginning of one: then it is dealt with."""
        current: RequestResponseCycle | None = self.cycle
        if (current is not None and not current.response_complete) or self.transport.is_closing():
            return False
        head, body_at, body_bytes = found
        missing_bytes = body_at + body_bytes - len(data)
        if missing_bytes < 0 or body_bytes > self._limits.body_bytes:
            return False
        if missing_bytes > 0:
            return self._keep(data, body_at + body_bytes)
        if self._kept:
            self._kept = b""
        if self._deadline is not None:
            self._disarm()
        turn = Turn(self)
        self.cycle = turn  # type: ignore[assignment]  # it has what uvicorn uses of a cycle from outside
        gate = self._gate
        assert gate.front is not None
        work = gate.front.serve(head, data[body_at:], turn)
        if work is not None:
            turn.task = gate.strands.begin(work, self.transport.abort)
        return True

    def _keep(self, data: bytes, whole_bytes: int) -> bool:
        if whole_bytes > KEPT_BYTES:
            return False
        self._kept = data
        self._unset_keepalive_if_required()
        if self._deadline is None:
            self._arm()
        return True

    def _came(self, coming: Coming, alone: bytes) -> None:
        """Have the front serve what was parsed; ``alone``: its bytes, if nothing else came with them."""
        self._coming = None
        gate, turn = self._gate, coming.turn
        assert gate.front is not None
        if alone:
            self.heads = self.heads or Heads()
            self.heads.remember(alone, coming.headers, gate.front.target, coming.head)
        if turn.keep_alive and not self._arriving:
            self.drop_parser()
        work = gate.front.serve(coming.head, b"".join(coming.parts), turn)
        if work is not None:
            self.go_on(turn, work)

    def go_on(self, turn: Turn, work: Work) -> None:
        """Begin work on the request of this turn."""
        turn.task = self._gate.strands.begin(work, self.transport.abort)

    def default_lines(self) -> bytes:
        """Headers of every answer, as they are on the wire."""
        self.good_head()
        return self._gate.lines

    def good_head(self) -> bytes:
        """As in ``front.Connection``; the date in it changes once a second."""
        gate, headers = self._gate, self.server_state.default_headers
        if gate.lines_of is not headers:
            gate.renew(headers)
        return gate.good_head

    def on_turn_complete(self) -> None:
        """As ``on_response_complete``, without a new timer for each answer."""
        self.held = None
        if self.pipeline or self.flow.read_paused:
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._idle_until = self.loop.time() + self._idle_seconds()
        if self.timeout_keep_alive_task is None or self._idle_until < self._idle_timer_at:
            self._unset_keepalive_if_required()
            self._await_idleness()

    def _await_idleness(self) -> None:
        self._idle_timer_at = self._idle_until
        seconds = self._idle_until - self.loop.time()
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle for long enough; look again later if it was used in between."""
        self.timeout_keep_alive_task = None
        if self._arriving or self._kept or not self._is_idle():
            return  # its answer arms the timer again
        if self._idle_until - self.loop.time() > TIMER_SECONDS:
            self._await_idleness()
        else:
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        """As uvicorn, after what was kept back of a request has become one."""
        kept, self._kept, self.heads = self._kept, b"", None
        if kept:
            self.data_received(kept)
        super().shutdown()

    def on_message_begin(self) -> None:
        """Start counting a request."""
        super().on_message_begin()
        self._arriving = True
        self._head_done = False
        self._begun += 1
        self._raw_bytes = self._body_bytes = 0
        extensions = {ABORT: self.transport.abort, LOST: self.lost}
        self.scope["extensions"] = extensions  # type: ignore[typeddict-item]

    def on_headers_complete(self) -> None:
        """Check the head before the application sees it."""
        declared = self._check_head()
        self._head_done = True
        if not 0 <= declared <= KEPT_BYTES or not self._goes_to_front():
            super().on_headers_complete()
        self.headers = []  # trailers would be appended to what the application takes for headers

    def _goes_to_front(self) -> bool:
        """Whether the front takes the request whose head was just parsed."""
        front, parser = self._gate.front, self.parser
        if front is None or self.url != front.target or self.expect_100_continue or not self._is_idle():
            return False
        if parser.get_method() != b"POST" or parser.get_http_version() != "1.1" or parser.should_upgrade():
            return False
        if (head := front.remember(cast("Scope", self.scope))) is not None:
            turn = Turn(self, keep_alive=parser.should_keep_alive())
            self.cycle = turn  # type: ignore[assignment]  # it has what uvicorn uses of a cycle from outside
            self._coming = Coming(head, self.headers, turn)
        return head is not None

    def _check_head(self) -> int:
        """Refuse a head that breaks a bound; the length it declares of its body, -1 for none."""
        size_bytes, hosts, host, declared = len(self.url), 0, b"", b"-1"
        for name, value in self.headers:
            size_bytes += len(name) + len(value) + 4
            if name == b"host":
                hosts, host = hosts + 1, value
            elif name == b"content-length":
                declared = value
        if size_bytes > self._limits.header_bytes or len(self.headers) > self._limits.header_count:
            self._stop(headers_too_large(self._limits))
        if hosts != 1:
            self._stop(HOST)
        if not self.url.startswith(b"/") and not names_host(self.url, host):
            self._stop(TARGET)
        if int(declared) > self._limits.body_bytes:  # the parser lets only digits through
            self._stop(body_too_large(self._limits))
        return int(declared)

    def on_body(self, body: bytes) -> None:
        """Count the body, however it is framed."""
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._stop(body_too_large(self._limits))
        coming = self._coming
        if coming is None or not coming.takes(self.cycle):
            super().on_body(body)
        else:
            coming.parts.append(body)

    def on_message_complete(self) -> None:
        """Lift the deadline: the request is all here."""
        self._arriving = self._head_done = False
        self._disarm()
        coming = self._coming
        if coming is None or not coming.takes(self.cycle):
            super().on_message_complete()
        else:
            coming.whole = True

    def on_response_complete(self) -> None:
        """Choose how long the connection may stay idle."""
        self.timeout_keep_alive = self._idle_seconds()  # type: ignore[assignment]  # uvicorn declares whole seconds
        self._idle_until = self._idle_timer_at = self.loop.time() + self.timeout_keep_alive
        super().on_response_complete()

    def _idle_seconds(self) -> float:
        limits = self._limits
        pressed = len(self.connections) > limits.pressed_share * self._gate.connections_max
        return limits.keep_alive_pressed_seconds if pressed else limits.keep_alive_seconds

    # --- refusing ---

    def _stop(self, answer: RefusalAnswer) -> NoReturn:
        """Leave a callback of the parser, which then calls nothing more; ends in ``send_400_response``."""
        self._answer = answer
        raise RefusedError

    def send_400_response(self, msg: str) -> None:
        """Refuse: uvicorn ends up here when the parser stops, for a refusal of ours or bad syntax."""
        self._refuse(self._answer or MALFORMED)

    def _refuse(self, answer: RefusalAnswer) -> None:
        """Answer and close, or just drop the connection if the answer could be misread."""
        self._refused = True
        self._arriving = False
        self._disarm()
        if self.transport.is_closing():
            return
        if not self._may_answer():
            self.transport.abort()
            return
        if self._head_done:  # the application has begun: to it the client is gone
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.tell_lost()
        self.flow.resume_reading()
        self._say(answer)

    def _may_answer(self) -> bool:
        """Whether nothing of another answer, or of an earlier one to this request, is on the wire."""
        if self._head_done:
            return not self.cycle.response_started and not self.pipeline
        return self._is_idle()

    def _say(self, answer: RefusalAnswer) -> None:
        self.transport.write(written(answer, self.server_state.default_headers))
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._deadline = self.loop.call_later(self._limits.linger_seconds, self.transport.abort)
        else:
            self.transport.close()

    def _shed(self, transport: asyncio.Transport) -> None:
        """Turn a connection away. It is not in ``connections`` and never reaches the parser."""
        self.transport = transport
        self._refused = True
        self._gate.shed += 1
        if len(self._gate.lingering) >= self._limits.lingering_max:
            transport.abort()
            return
        self._gate.lingering.add(transport)
        self._say(busy(self._limits))
