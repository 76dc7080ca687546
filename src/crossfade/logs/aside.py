"""A second thread, for work that needs the interpreter while the log's own thread waits for the disk and does not."""

import threading
from collections.abc import Callable


class Aside:
    """Does one thing at a time. ``begin`` and ``end`` are called in turns, by one thread; ``close`` in between."""

    def __init__(self) -> None:
        """Nothing runs before the first ``begin``."""
        self._begun = threading.Semaphore(0)
        self._ended = threading.Semaphore(0)
        self._work: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None

    def begin(self, work: Callable[[], None]) -> None:
        """Have ``work`` done; until ``end`` nobody else may touch what it touches."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="crossfade-log-aside", daemon=True)
            self._thread.start()
        self._work = work
        self._begun.release()

    def end(self) -> None:
        """Return when the work is done. Raises RuntimeError if it raised: then nothing of it can be relied on."""
        self._ended.acquire()
        if self._work is not None:
            raise RuntimeError("the log's second thread failed")

    def close(self) -> None:
        """Let the thread end."""
        if self._thread is not None:
            self._work = None
            self._begun.release()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while self._begun.acquire() and self._work is not None:
            try:
                self._work()
                self._work = None
            finally:
                self._ended.release()
