"""What the kernel says of a hub: writes of threads that are not the event loop, connections to its port alone."""

import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from crossfade.fleet.capacity.probe import connections, look

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
BYTES = 100_000


def test_writes_of_other_threads_are_the_disks_and_those_of_the_main_thread_are_not(tmp_path: Path) -> None:
    written, told = threading.Event(), threading.Event()

    def write() -> None:
        with (tmp_path / "log").open("wb", buffering=0) as log:
            log.write(b"x" * BYTES)
            written.set()
            told.wait(60)

    before = look(os.getpid(), 1)
    thread = threading.Thread(target=write)
    thread.start()
    with (tmp_path / "reply").open("wb", buffering=0) as reply:
        reply.write(b"x" * 10 * BYTES)
    assert written.wait(60)
    after = look(os.getpid(), 1)
    told.set()
    thread.join()
    assert before is not None
    assert after is not None
    assert BYTES <= after.written_bytes - before.written_bytes < 2 * BYTES
    assert after.write_calls > before.write_calls
    assert after.cpu_ns > 0
    assert after.memory_mib > 1
    assert after.at_ns > before.at_ns


def test_connections_are_those_to_the_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [server.getsockname()[1] for server in (one, other)]
        with socket.create_connection(("127.0.0.1", ports[0])), socket.create_connection(("127.0.0.1", ports[0])):
            assert [connections(port) for port in ports] == [2, 0]


def test_a_process_that_is_gone_has_no_reading() -> None:
    assert look(2**22 + 1, 1) is None
