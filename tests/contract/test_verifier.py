"""The verifier that stands alone: what it accepts, and what each kind of fraud or damage makes it say."""

import asyncio
import gzip
import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import msgspec
import pytest

from crossfade.config import Config
from crossfade.core.values import SPACE
from crossfade.engine.ports import Checkpoint, Head, StoredEvent
from crossfade.logs.codec import GENESIS, link
from crossfade.logs.export import first_line, record_lines
from crossfade.logs.sqlite import open_sqlite
from crossfade.outbound import checkpoints
from crossfade.outbound.checkpoints import FolderWitness
from crossfade.outbound.signing import signing_key
from crossfade.upkeep import export_log
from crossfade_verify import verify
from tests.kit.history import small_run
from tests.kit.hub import SIGNER, World
from tests.kit.logs import tamper
from tests.kit.tree import ROOT

pytestmark = pytest.mark.requirement("P26")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """The folder of a hub in which nearly everything happened, stopped in order."""
    folder = tmp_path_factory.mktemp("hub") / "data"

    async def work():
        log = open_sqlite(folder)
        witness = FolderWitness(folder / "checkpoints", signing_key(folder))
        world = World(log)
        world.hub.keeping.guard(witness)
        await world.hub.start()
        await small_run(world)
        await world.hub.stop()
        witness.close()
        await log.close()

    asyncio.run(work())
    return folder


@pytest.fixture
def folder(original, tmp_path):
    copy = tmp_path / "data"
    copy.mkdir()
    for path in (*original.glob("*"), *original.glob("checkpoints/*")):
        target = copy / path.relative_to(original)
        if path.is_dir():
            target.mkdir()
        else:
            target.write_bytes(path.read_bytes())
    return copy


@pytest.fixture
def export(folder):
    path = folder.parent / "export.jsonl"
    with path.open("wb") as out:
        asyncio.run(export_log(Config(data_folder=str(folder)), out))
    return path


def said(path, *more):
    return [f"{finding.shard}:{finding.sequence} {finding.what}" for finding in verify(path, *more).findings]


def test_a_folder_and_its_export_both_hold(folder, export):
    for path in (folder, export):
        found = verify(path)
        assert found.findings == []
        assert found.records[0] > 10
        assert found.records[1] > 30
        assert found.checkpoints == found.signatures
        assert found.checkpoints > 2


def test_it_changes_nothing(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    verify(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_rows_that_a_crash_left_in_the_write_ahead_log_are_read(folder):
    async def crash():
        log = open_sqlite(folder)
        world = World(log, seed=9)
        await world.hub.start()
        await world.join("late")
        await world.hub.stop()
        end = (await log.head(SPACE)).sequence
        for name in ("log.db", "log.db-wal"):
            (folder.parent / name).write_bytes((folder / name).read_bytes())
        await log.close()
        return end

    end = asyncio.run(crash())
    (folder.parent / "log.db-wal").rename(folder / "log.db-wal")
    (folder.parent / "log.db").rename(folder / "log.db")
    found = verify(folder)
    assert (found.records[1], found.findings) == (end, [])


@pytest.mark.parametrize("crashed", [False, True])
def test_a_folder_may_have_any_name(folder, crashed):
    odd = folder.rename(folder.with_name("50% of #1? häuser"))
    if crashed:
        (odd / "log.db-wal").write_bytes(b"\0")
    assert said(odd) == []


def test_a_folder_in_use_is_left_alone(folder):
    async def work():
        log = open_sqlite(folder)
        with pytest.raises(BlockingIOError):
            verify(folder)
        await log.close()

    asyncio.run(work())


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def written(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("column", ["stream", "version", "type", "at", "actor", "cause", "key", "payload", "chain"])
def test_a_change_of_any_column_is_named(export, column):
    lines = lines_of(export)
    line = next(line for line in lines if line.get("shard") == 1 and line.get("sequence") == 17)
    old = line[column]
    line[column] = old + 1 if isinstance(old, int) else ("0" if old[:1] != "0" else "1") + old[1:]
    assert said(written(export, lines))[0].startswith("1:17 false")


def test_a_record_left_out_and_one_put_twice_are_named(export):
    lines = lines_of(export)
    at = next(i for i, line in enumerate(lines) if line.get("shard") == 1 and line.get("sequence") == 17)
    assert said(written(export, lines[:at] + lines[at + 1 :])) == ["1:17 missing"]
    assert said(written(export, lines[: at + 1] + lines[at:])) == ["1:18 missing"]


def test_an_end_cut_off_is_named_even_if_the_ends_were_cut_with_it(export):
    lines = lines_of(export)
    cut = lines[:-3]
    end = lines[-1]["sequence"]
    assert said(written(export, cut)) == [f"1:{end - 2} missing: the log had reached {end}"]
    cut[0]["shards"][1] |= {"sequence": cut[-1]["sequence"], "chain": cut[-1]["chain"]}
    assert said(written(export, cut)) == [f"1:{end - 2} missing: the log had reached {end}"]


def test_a_log_made_anew_is_named_after_the_last_checkpoint_that_holds(export):
    lines = lines_of(export)
    sequences = [int(line.split(" ")[4]) for line in lines[0]["checkpoints"] if line.split(" ")[2] == "1"]
    good = sequences[1]
    rows = [line for line in lines[1:] if line["shard"] == 1]
    rows[good]["actor"] = "eve"
    rechained(rows)
    lines[0]["shards"][1]["chain"] = rows[-1]["chain"]
    assert said(written(export, lines))[0].startswith(f"1:{good + 1} made anew")


def rechained(rows):
    prev = GENESIS
    for row in rows:
        names = ("sequence", "stream", "version", "type", "at", "actor", "cause")
        columns = (*(row[name] for name in names), bytes.fromhex(row["key"]), row["payload"].encode())
        prev = link(row["shard"], prev, columns)
        row["chain"] = prev.hex()


def test_a_checkpoint_that_somebody_else_signed_is_named(folder):
    forger = SIGNER
    path = folder / "checkpoints" / "shard-1.checkpoints"
    words = path.read_text().splitlines()[-1].split(" ")
    forged = Checkpoint(SPACE, 1, int(words[4]), bytes.fromhex(words[5]), int(words[6]))
    path.write_bytes(path.read_bytes() + checkpoints.line(forged, forger))
    assert said(folder) == [f"1:{words[4]} its checkpoint is not signed with this key"]


def test_a_changed_byte_of_the_file_is_named(folder):
    tamper(folder, "UPDATE events SET actor = 'eve' WHERE shard = 1 AND sequence = 9")
    assert said(folder)[0].startswith("1:9 false")


def flipped(at):
    return lambda records: records[:at] + bytes([records[at] ^ 1]) + records[at:][1:]


@pytest.mark.parametrize(
    ("damage", "moved", "named"),
    [
        *((flipped(at), 0, "first") for at in (0, 8, 16, 24, 32, 36, 56, 57, 88, 89)),
        (lambda records: records[:40], 0, "first"),
        (lambda records: records[:0], 0, "first"),
        (lambda records: records[:-1], 0, "last"),
        (lambda records: records[:-1] + b"!", 0, "last"),
        (bytes, -1, "last"),
    ],
)
def test_damage_to_a_block_is_named_by_the_first_record_that_has_it(folder, damage, moved, named):
    with closing(sqlite3.connect(folder / "log.db")) as database, database:
        blocks = database.execute("SELECT place, records FROM blocks WHERE place >> 40 = 1").fetchall()
        places = {(int.from_bytes(records[9:17]), place & (1 << 40) - 1): place for place, records in blocks}
        first, last = max(span for span in places if span[0] < span[1])
        place = places[first, last]
        database.execute(
            "UPDATE blocks SET place = ?, records = ? WHERE place = ?",
            (place + moved, damage(dict(blocks)[place]), place),
        )
    assert said(folder)[0].startswith(f"1:{first if named == 'first' else last} ")


def test_a_record_that_cannot_be_hashed_does_not_pass_without_a_chain(export):
    lines = lines_of(export)
    end = lines[-1] | {"at": 1 << 63, "chain": ""}
    lines[0]["shards"][1]["chain"], lines[0]["checkpoints"] = "", []
    assert said(written(export, [*lines[:-1], end])) == [
        f"1:{end['sequence']} false: its hash is not that of its contents and what was before"
    ]


# --- invariants: the chain holds, the story does not ------------------------------------------------------


ASKED = {
    "asker": "ana", "addressee": "bo", "message": "?", "schema": {}, "deadline": 100, "lane": "polling", "epoch": 0,
    "exposure": "old", "conversation": "q_1",
}  # fmt: skip
ASK = ("question/q_1", "question.asked/1", ASKED)
OFFER = ("question/q_1", "question.offered/1", {"channel": "poll"})
ANSWER = ("question/q_1", "question.answered/1", {"by": "bo", "content": {}, "channel": "poll"})
EXPIRE = ("question/q_1", "question.expired/1", {})


def ack(through, owner="bo"):
    return (f"mailbox/{owner}", "mailbox.acknowledged/1", {"through": through})


def story(tmp_path, *events, keys=None, ats=None):
    """What the verifier says of a sound chain that tells this."""
    rows, versions = [], {}
    for number, (stream, kind, content) in enumerate(events, 1):
        versions[stream] = versions.get(stream, 0) + 1
        at = ats[number - 1] if ats else number
        key = (keys[number - 1] if keys else number).to_bytes(16)
        rows.append(
            {
                "shard": 1, "sequence": number, "stream": stream, "version": versions[stream], "type": kind, "at": at,
                "actor": "ana", "cause": "", "key": key.hex(), "payload": json.dumps(content), "chain": "",
            }
        )  # fmt: skip
    rechained(rows)
    top = json.loads(first_line({SPACE: Head(1, len(rows), bytes.fromhex(rows[-1]["chain"]))}, [], ""))
    return said(written(tmp_path / "story.jsonl", [top, *rows]))


def by(event, **changes):
    return (*event[:2], event[2] | changes)


@pytest.mark.parametrize(
    ("events", "finding"),
    [
        ((ASK, OFFER, ANSWER, ack(1)), None),
        ((ASK, OFFER, ack(1), ANSWER), None),
        ((ASK, OFFER, ANSWER, ANSWER), "1:4 answered after its end"),
        ((ASK, OFFER, ANSWER, EXPIRE), "1:4 expired after its end"),
        ((ANSWER,), "1:1 answered before it was asked"),
        ((ASK, ASK), "1:2 asked after its end, or twice"),
        ((ASK, by(ANSWER, by="eve")), "1:2 answered by eve, who is not its addressee"),
        ((ASK, ("question/q_1", "question.withdrawn/1", {"by": "bo"})), "1:2 withdrawn by bo, who is not its asker"),
        ((ASK, EXPIRE), "1:2 expired on the wrong side of its deadline"),
        ((by(ASK, deadline=2), ANSWER), "1:2 answered on the wrong side of its deadline"),
        ((by(ASK, deadline=2), EXPIRE), None),
        ((by(ASK, reply_to="m_7"),), "1:1 before its cause: m_7 is not in the log yet"),
        ((("message/m_7", "message.sent/1", {"reply_to": ""}), by(ASK, reply_to="m_7")), None),
        ((ASK, ack(1)), "1:2 a cursor that passes question/q_1, which was never delivered"),
        ((by(ASK, lane="elicitation"), ack(1)), None),
        ((ASK, ack(1, "ana")), None),
        ((ASK, OFFER, ack(3)), "1:3 a cursor that goes back, or beyond the end of the log"),
        ((ASK, OFFER, ack(2), ack(1)), "1:4 a cursor that goes back, or beyond the end of the log"),
    ],
)
def test_a_story_that_cannot_be_true_is_named(tmp_path, events, finding):
    found = story(tmp_path, *events)
    assert found == [] if finding is None else found[0].startswith(finding)
    assert len(found) <= 1


def test_a_key_that_two_transactions_have_and_a_time_that_goes_back_are_named(tmp_path):
    assert story(tmp_path, ASK, OFFER, ANSWER, keys=[1, 1, 2]) == []
    assert story(tmp_path, ASK, OFFER, ANSWER, keys=[1, 2, 1]) == ["1:3 its key was used before"]
    assert story(tmp_path, ASK, OFFER, ANSWER, ats=[5, 4, 5]) == ["1:2 before its time: the record before it is later"]


def test_a_version_out_of_its_order_is_named(tmp_path):
    path = tmp_path / "story.jsonl"
    story(tmp_path, ASK, OFFER)
    lines = lines_of(path)
    lines[2]["version"] = 5
    rechained(lines[1:])
    lines[0]["shards"][0]["chain"] = lines[-1]["chain"]
    assert said(written(path, lines)) == ["1:2 version 5 of question/q_1, where 2 should be"]


# --- the second place -----------------------------------------------------------------------------------------


def own_lines(folder):
    """Lay the newest line of each shard beside the log, as the hub does at its start and its stop."""
    for path in (folder / "checkpoints").glob("shard-?.checkpoints"):
        (folder / path.name.replace(".", ".last.")).write_bytes(path.read_bytes().splitlines(keepends=True)[-1])


def test_a_second_place_that_was_emptied_or_put_back_is_named(folder):
    own_lines(folder)
    assert said(folder) == []
    assert said(folder, folder) == [], "what lies beside the log may be named as the second place"
    path = folder / "checkpoints/shard-1.checkpoints"
    lines = path.read_bytes().splitlines(keepends=True)
    last = json.loads(lines[-1].split(b" ")[4])
    gone = [f"1:{last} its checkpoint is gone from the second place"]
    for left in (lines[:1], []):
        path.write_bytes(b"".join(left))
        assert said(folder) == gone
    path.unlink()
    assert said(folder) == gone


def test_where_the_second_place_is_elsewhere_the_log_is_held_to_its_own_copy_of_the_last_line(folder):
    own_lines(folder)
    (folder / "checkpoints").rename(folder.parent / "second")
    assert said(folder) == []
    assert verify(folder).checkpoints == 2
    assert said(folder, folder.parent / "second") == []
    before = "(SELECT chain FROM events WHERE shard = 1 AND sequence = heads.sequence - 1)"
    tamper(folder, f"UPDATE heads SET sequence = sequence - 1, chain = {before} WHERE shard = 1")  # noqa: S608
    tamper(folder, "DELETE FROM events WHERE place = (SELECT max(place) FROM events)")
    (found,) = said(folder)
    assert "missing: the log had reached" in found


def test_an_export_that_was_made_anew_with_a_key_of_its_own_does_not_pass_beside_the_second_place(folder, export):
    lines = lines_of(export)
    place = next(number for number, line in enumerate(lines) if line.get("shard") == 1 and line["sequence"] == 9)
    lines[place]["actor"] = "mallory"
    rechained([line for line in lines[1:] if line["shard"] == 1])
    lines[0]["shards"][1]["chain"] = lines[-1]["chain"]
    lines[0]["checkpoints"], lines[0]["public_key"] = [], ""
    forged = written(export, lines)
    assert said(forged) == [], "by itself it is a log like any other; it names no key"
    assert verify(forged).keyid == ""
    (found,) = said(forged, folder / "checkpoints")
    assert "made anew" in found


def test_a_log_of_another_epoch_than_its_checkpoints_is_named(folder):
    with closing(sqlite3.connect(folder / "log.db")) as database, database:
        database.execute("UPDATE heads SET epoch = 7 WHERE shard = 1")
    assert said(folder) == ["1:1 of another epoch than its checkpoints, which are of 1"]


def test_a_head_that_is_not_that_of_the_last_record_is_named(folder, export):
    end = verify(folder).records[1]
    with closing(sqlite3.connect(folder / "log.db")) as database, database:
        database.execute("UPDATE heads SET chain = zeroblob(32) WHERE shard = 1")
    assert said(folder) == [f"1:{end + 1} the head is not that of the last record"]
    lines = lines_of(export)
    lines[0]["shards"][1] |= {"sequence": end - 1, "chain": lines[-2]["chain"]}
    lines[0]["checkpoints"] = []
    assert said(written(export, lines)) == [f"1:{end} the head is not that of the last record"]


def test_a_checkpoint_that_a_power_cut_tore_is_passed_over_and_any_other_that_is_none_is_an_error(folder):
    path = folder / "checkpoints/shard-1.checkpoints"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:50])
    assert said(folder) == []
    path.write_bytes(whole[:50] + b"\n" + whole)
    with pytest.raises(ValueError, match="not a checkpoint"):
        verify(folder)


# --- as a program ---------------------------------------------------------------------------------------------


def program(*words):
    script = ROOT / "src/crossfade_verify/__init__.py"
    return subprocess.run([sys.executable, "-I", script, *words], capture_output=True, text=True, check=False)


def test_as_a_program_it_stands_alone_and_its_exit_code_says_it(folder, export):
    done = program(export)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"signatures hold, key {verify(folder).keyid}" in done.stdout
    export.write_bytes(export.read_bytes().replace(b'"actor":"ana"', b'"actor":"eve"', 1))
    done = program(export)
    assert done.returncode == 6
    assert ": sequence " in done.stdout
    deep = export.read_bytes() + b"[" * 200_000
    empty = json.dumps({"format": "crossfade-export/1", "public_key": "", "shards": [], "checkpoints": []}).encode()
    export.write_bytes(deep)
    assert program(export).returncode == 6
    for content in (b"{", empty, deep[-100_000:]):
        export.write_bytes(content)
        done = program(export)
        assert (done.returncode, done.stderr) == (2, ""), "nothing that was looked at is nothing that holds"
        assert "error: " in done.stdout
    assert program(folder / "nothing").returncode == 2
    assert program(folder, folder / "nothing").returncode == 2, (
        "a second place that is not there is not one that agrees"
    )


def test_it_is_short_enough_to_be_read_by_whoever_has_to_trust_it():
    assert len((ROOT / "src/crossfade_verify/__init__.py").read_text().splitlines()) < 250


def test_an_export_holds_every_byte_of_a_payload_that_is_no_text():
    row = StoredEvent(1, "q/ä", 1, "t/1", 5, "a", "", b"k" * 16, b"\xff\x00", b"c" * 32)
    (line,) = record_lines(SPACE, [row])
    assert json.loads(line)["payload_base64"] == "/wA="


def test_an_export_that_says_another_epoch_than_its_checkpoints_is_not_their_log(export):
    lines = lines_of(export)
    for end in lines[0]["shards"]:
        end["epoch"] = 2
    assert said(written(export, lines)) == [
        f"{shard}:1 of another epoch than its checkpoints, which are of 1" for shard in (0, 1)
    ]


@pytest.mark.parametrize("at", range(0, 113, 4))
def test_a_bit_of_the_public_key_is_found_or_changes_nothing(export, at):
    lines = lines_of(export)
    key = lines[0]["public_key"]
    lines[0]["public_key"] = key[:at] + chr(ord(key[at]) ^ 2) + key[at + 1 :]
    try:
        found = verify(written(export, lines))
    except ValueError:
        return
    assert found.findings or found.signatures == found.checkpoints


def test_a_checkpoint_that_is_no_text_any_more_is_exported_as_it_is_and_found(folder):
    place = folder / "checkpoints" / "shard-1.checkpoints"
    lines = place.read_bytes().splitlines(keepends=True)
    at = len(b"crossfade-checkpoint/1 ")
    place.write_bytes(lines[0][:at] + b"\xe1" + lines[0][at + 1 :] + b"".join(lines))
    path = folder.parent / "export.jsonl"
    with path.open("wb") as out:
        asyncio.run(export_log(Config(data_folder=str(folder)), out))
    assert "its checkpoint is not signed with this key" in said(path)[0]


def fresh_chain(lines):
    """The rows of an export with their chain made anew, and a first line that says so; no checkpoints."""
    ends = {}
    for one in lines[1:]:
        row = StoredEvent(
            one["sequence"], one["stream"], one["version"], one["type"], one["at"], one["actor"], one["cause"],
            bytes.fromhex(one["key"]), one["payload"].encode(), b"",
        )  # fmt: skip
        own = link(one["shard"], ends.get(one["shard"], (0, GENESIS))[1], msgspec.structs.astuple(row)[:-1])
        ends[one["shard"]] = one["sequence"], own
        one["chain"] = own.hex()
    for end in lines[0]["shards"]:
        end["sequence"], end["chain"] = ends[end["shard"]][0], ends[end["shard"]][1].hex()
    lines[0]["checkpoints"] = []
    return lines


@pytest.mark.parametrize("payload", ["{", "[]", '"x"', "{}", '{"through":"1"}', "[" * 100_000])
def test_contents_that_cannot_be_an_event_s_are_named_by_their_record(export, payload):
    lines = lines_of(export)
    one = next(line for line in lines[1:] if line["type"].startswith("mailbox.acknowledged"))
    one["payload"] = payload
    found = said(written(export, fresh_chain(lines)))
    assert found[0] == f"1:{one['sequence']} not a {one['type']}: its contents cannot be that"


@pytest.mark.parametrize("way", ["in a line", "last byte but one", "not text", "another thing", "no payload", "deep"])
def test_an_export_that_is_cut_or_spoilt_is_named_by_the_first_record_that_is_missing(export, way):
    lines = export.read_bytes().splitlines(keepends=True)
    at = len(lines) - 5
    if way == "last byte but one":
        at, lines[-1] = len(lines) - 1, lines[-1][:-2]
    elif way == "in a line":
        lines[at:] = [lines[at][:40]]
    else:
        spoilt = {"not text": b"\xff\xfe", "another thing": b"[]", "no payload": b'{"shard":1}', "deep": b"[" * 100_000}
        lines[at] = spoilt[way] + b"\n"
    sequence = json.loads(lines[at - 1])["sequence"] + 1
    export.write_bytes(b"".join(lines))
    assert said(export)[0].startswith(f"1:{sequence} missing")
    assert program(export).returncode == 6


def test_a_segment_that_is_cut_is_named_by_the_first_record_that_is_missing(export, tmp_path):
    lines = lines_of(export)
    lines[1:] = [one for one in lines[1:] if one["shard"] == 1]
    last = lines[-1]
    top = lines[0] | {"format": "crossfade-segment/1", "checkpoints": []}
    top["shards"] = [{"shard": 1, "epoch": 1, "sequence": last["sequence"], "chain": last["chain"]}]
    content = "".join(json.dumps(one) + "\n" for one in (top, *lines[1:])).encode()
    folder = tmp_path / "archive"
    folder.mkdir()
    path = folder / f"shard-1.000000000001-{last['sequence']:012d}.jsonl.gz"
    path.write_bytes(gzip.compress(content, 0))
    assert said(folder) == []
    path.write_bytes(gzip.compress(content, 0)[:-100])
    assert said(folder) == [f"1:{last['sequence']} missing: the log had reached {last['sequence']}"]
