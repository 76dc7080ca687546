"""Child of test_sqlite_log.py: appends from many tasks for ever, and prints each key once it is acknowledged.

Arguments: folder, first number. One line for each acknowledged transaction: its number and its sequences.
"""

import asyncio
import itertools
import os
import sys
from pathlib import Path

from crossfade.core.values import SPACE
from crossfade.engine.ports import Committed
from crossfade.logs.sqlite import open_sqlite
from tests.kit.logs import tx


async def append_for_ever(log, numbers):
    for number in numbers:
        (result,) = await log.append(SPACE, [tx(number, f"q/{number}", "q/all")])
        if not isinstance(result, Committed):
            raise TypeError(f"{number} was not stored: {result}")
        # One write a line, so that the parent never sees half of one that was acknowledged.
        os.write(1, f"{number} {result.first} {result.last}\n".encode())


async def main():
    log = open_sqlite(Path(sys.argv[1]))
    numbers = itertools.count(int(sys.argv[2]))
    await asyncio.gather(*(append_for_ever(log, numbers) for _ in range(32)))


asyncio.run(main())
