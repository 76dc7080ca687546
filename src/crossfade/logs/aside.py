"""A second thread, for work that needs the interpreter while the log's own thread waits for the disk and does not."""

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Aside:
    """Does one thing at a time. ``begin`` and ``end`` are called in turns, by one thread; ``close`` in between."""

    def __init__(self) -> None:
        """Nothing runs before the first ``begin``."""
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._done: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, work: Callable[[], None]) -> None:
        """Have ``work`` done; until ``end`` nobody else may touch what it touches."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="crossfade-log-aside", daemon=True)
            self._thread.start()
        self._work.put(work)

    def end(self) -> None:
        """Return when the work is done. Raises RuntimeError if it raised: then nothing of it can be relied on."""
        if not self._done.get():
            raise RuntimeError("the log's second thread failed")

    def close(self) -> None:
        """Let the thread end."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            done = False
            try:
                work()
                done = True
            finally:
                self._done.put(done)
