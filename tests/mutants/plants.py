"""The seeded mutants: a classic defect of coordination servers each, and the test that must go red for it.

Where each comes from, and why some do not apply here, is in docs/reliability.md.
"""

from typing import Final, NamedTuple


class Plant(NamedTuple):
    """One defect: a piece of source, what it becomes, and who must notice."""

    name: str
    defect: str
    file: str
    old: str
    new: str
    test: str
    """Arguments of pytest."""


PLANTS: Final = (
    Plant(
        "M1",
        "a key that was used is taken again",
        "logs/batch.py",
        "    if used is not None:\n",
        "    if used is not None and False:\n",
        "tests/contract/test_logs.py -k a_key_that_was_used",
    ),
    Plant(
        "M3",
        "no token, no check",
        "inbound/auth.py",
        "    if guests and not presented:\n",
        "    if not presented:\n",
        "tests/contract/test_promises.py -k nobody_is_a_guest",
    ),
    Plant(
        "M4",
        "the state is read, then written without comparing",
        "logs/batch.py",
        "        if version != expected:\n",
        "        if False:\n",
        "tests/contract/test_logs.py -k race_for_one_stream",
    ),
    Plant(
        "M5",
        "a rollback clears what is open",
        "engine/projector.py",
        "        programme.rollout = after\n",
        "        programme.rollout = after\n        self._views.questions.clear()\n",
        "tests/engine/test_lanes.py -k kill_switch_offers",
    ),
    Plant(
        "M6",
        "the sequence is raised before the write",
        "engine/committer.py",
        "            self.fault = fault\n",
        "            self.fault = fault\n            self.head = Sequence(self.head + 1)\n",
        "tests/engine/test_committer.py -k fault_is_told",
    ),
    Plant(
        "M7",
        "a record that does not verify is passed over",
        "logs/codec.py",
        "        if row.sequence != expected or not _holds(shard, prev, row):\n",
        "        if False:\n",
        "tests/contract/test_log_damage.py -k verify",
    ),
    Plant(
        "M8",
        "a log without its tail is served",
        "engine/witnessing.py",
        "            last = await hold(self._c.log, self._witness, shard)\n",
        "            last = None\n",
        "tests/engine/test_witnessing.py",
    ),
    Plant(
        "M9",
        "what is moved aside is not read again",
        "outbound/checkpoints.py",
        'found = read_lines(self._path(shard, ".earlier"), public, newest) + found\n',
        "pass\n",
        "tests/contract/test_checkpoints.py",
    ),
    Plant(
        "M10",
        "the key is another at each start",
        "outbound/host.py",
        "    if not path.exists():\n        write_private(path, secrets",
        "    if True:\n        write_private(path, secrets",
        "tests/contract/test_promises.py -k key_of_a_folder",
    ),
    Plant(
        "M12",
        "deadlines follow the wall clock",
        "outbound/host.py",
        "        return time.clock_gettime_ns(_MONOTONIC) + self._offset  #",
        "        return time.time_ns()  #",
        "tests/contract/test_promises.py -k walls",
    ),
    Plant(
        "M12b",
        "the log's clock goes back with the machine's",
        "engine/dispatcher.py",
        "        self._last_at = max(self._last_at, self._clock.now())\n",
        "        self._last_at = self._clock.now()\n",
        "tests/engine/test_dispatcher.py -k never_go_back",
    ),
    Plant(
        "M13",
        "an empty answer is not held to the shape",
        "core/questions.py",
        "    refusal = shapes.check_raw(state.schema, command.content)\n",
        "    refusal = None if bytes(command.content) == b'{}' else shapes.check_raw(state.schema, command.content)\n",
        "tests/core/test_questions.py tests/engine/test_questions.py",
    ),
    Plant(
        "M14",
        "a right by the end of a name",
        "engine/context.py",
        "    if scope in caller.scopes or",
        '    if caller.name.endswith("expert") or scope in caller.scopes or',
        "tests/contract/test_promises.py -k no_name",
    ),
    Plant(
        "M15",
        "a bucket without a bottom",
        "engine/context.py",
        "            member.allowance = min(rate * BURST_SECONDS, member.allowance + since * rate / SECOND)\n",
        "            member.allowance = member.allowance + since * rate / SECOND\n",
        "tests/engine/test_questions.py -k too_many_commands",
    ),
    Plant(
        "M16",
        "short ids",
        "outbound/host.py",
        "secrets.token_bytes(_FETCHED_BYTES).translate",
        "(secrets.token_bytes(4) * 4).translate",
        "tests/contract/test_promises.py -k guessed",
    ),
    Plant(
        "M17",
        "the parts of a key run into each other",
        "engine/asking.py",
        'f"{caller.name}\\0{verb}\\0{key}"',
        'f"{caller.name}{verb}{key}"',
        "tests/contract/test_promises.py -k run_into",
    ),
    Plant(
        "M17b",
        "the chain does not say where a column ends",
        "logs/codec.py",
        "at, len(a), len(b), len(c), len(d), len(key)",
        "at, 0, 0, 0, 0, len(key)",
        "tests/contract/test_logs.py -k chain_is_the_one",
    ),
    Plant(
        "M18",
        "the wake-up is forgotten",
        "engine/projector.py",
        "            self.courier.bring(mailbox.wake, lane)\n",
        "            pass\n",
        "tests/engine/test_mail.py -k wakes_at_once",
    ),
    Plant(
        "M19",
        "a new folder's name is not synced",
        "logs/startup.py",
        "    sync(folder.parent)\n",
        "    pass\n",
        "tests/contract/test_promises.py -k new_folder",
    ),
    Plant(
        "M20",
        "acknowledged before it is durable",
        "logs/startup.py",
        '("synchronous", "EXTRA", 3)',
        '("synchronous", "NORMAL", 1)',
        "tests/contract/test_sqlite_log.py -k settings",
    ),
    Plant(
        "M21",
        "an expiry that does not compare",
        "logs/batch.py",
        "        if version != expected:\n",
        '        if version != expected and tx.events[0].type != "question.expired/1":\n',
        "tests/simulation/test_schedules.py -k no_schedule",
    ),
    Plant(
        "M22",
        "a snapshot is taken for any log, whatever stands at its place there",
        "engine/snapshots.py",
        "                if end and (not rows or rows[0].chain != chain):\n",
        "                if False:\n",
        "tests/engine/test_snapshots.py -k thrown_away",
    ),
    Plant(
        "M22b",
        "a snapshot does not say up to where it stands",
        "engine/keeping.py",
        "            self._committers[shard].head = end\n",
        "            pass\n",
        "tests/engine/test_snapshots.py -k only_what_came_since",
    ),
    Plant(
        "M23",
        "a check without a measurement passes",
        "engine/checks.py",
        "        return NOT_MEASURED if check is None else await check(call)\n",
        "        return Finding(verdict=PASSED) if check is None else await check(call)\n",
        "tests/engine/test_evidence.py -k nobody_wrote",
    ),
    Plant(
        "M24",
        "a check that says yes whatever is",
        "engine/checks.py",
        "ok=lost == 0, open",
        "ok=True, open",
        "tests/engine/test_evidence.py -k outlived",
    ),
)
