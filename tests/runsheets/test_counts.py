"""Counts and specs of gates as files: nothing is guessed, and what is wrong is named with its line and column."""

import pytest

from crossfade.core.gates import Exposure, Kind, SharePhase, Spec
from crossfade.runsheets.counts import CountsError, load_counts, parse_counts
from crossfade.runsheets.gate_files import parse_gates
from crossfade.runsheets.loader import parse

pytestmark = pytest.mark.requirement("P17")

HEAD = "at,cluster,exposure,n,bad"
GOOD = "2026-01-05T00:00:00Z,a,new,5,1"


def read(*lines):
    return parse_counts([f"{line}\n" for line in lines], "c.csv")


def refusal(*lines):
    with pytest.raises(CountsError) as caught:
        read(*lines)
    return str(caught.value)


def test_columns_come_in_any_order_with_quotes_and_any_offset(tmp_path):
    path = tmp_path / "c.csv"
    path.write_bytes(
        b"\xef\xbb\xbfbad,n,exposure,cluster,at\r\n"
        b'1,5,new,"team, one",2026-01-05T00:00:00Z\r\n'
        b'0,7,old,"team, one",2026-01-05 01:00:00+01:00\r\n'
        b"0,0,mixed,x,2026-01-05T00:00\r\n"
        b"\r\n"
    )
    first, second, third = load_counts(str(path))
    assert (first.cluster, first.exposure, first.n, first.bad, first.line) == ("team, one", Exposure.NEW, 5, 1, 2)
    assert first.at == second.at == third.at
    assert (second.n, third.n) == (7, 0)


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ('"2026-01-05T00:00:00Z","a, b","new","5","6"', "2:41 bad"),
        ('2026-01-05T00:00:00Z,"say ""a"", b",new,5,6', "2:43 bad"),
        ('"2026-01-05T00:00:00Z",a,news,5,6', "2:26 exposure"),
        ("2026-01-05T00:00:00Z,a,new,5,", "2:30 bad"),
    ],
)
def test_the_column_is_where_the_cell_stands_also_after_quoted_ones(row, where):
    assert f"c.csv:{where}: " in refusal(HEAD, row)


@pytest.mark.parametrize("name", [b"\xff\xfe\x00", b"\x1b[31mred", b"x" * 5_000])
def test_a_header_that_is_no_text_is_shown_as_what_can_be_printed(tmp_path, name):
    path = tmp_path / "c.csv"
    path.write_bytes(name + b",n\n1,2\n")
    with pytest.raises(CountsError) as caught:
        load_counts(str(path))
    said = str(caught.value)
    assert said.isprintable()
    assert said.encode()
    assert len(said) < 400 + len(str(path))


def test_series_in_any_order_come_out_in_the_order_of_time():
    counts = read(HEAD, "2026-01-05T00:02Z,a,new,1,0", "2026-01-05T00:03Z,a,new,1,0", "2026-01-05T00:01Z,b,new,1,0")
    assert [one.line for one in counts] == [4, 2, 3]
    assert [one.line for one in counts] == [4, 2, 3]
    assert counts.exposed(Exposure.NEW) == 2
    assert counts.exposed(Exposure.OLD) == 0


@pytest.mark.parametrize(
    ("row", "where", "what"),
    [
        ("2026-01-05T00:00:00Z,a,new,5,6", "2:30 bad", "6 bad of 5 cannot be"),
        ("2026-01-05T00:00:00Z,a,new,-5,0", "2:28 n", "is negative"),
        ("2026-01-05T00:00:00Z,a,new,5,NaN", "2:30 bad", "is not a whole number"),
        ("2026-01-05T00:00:00Z,a,new,5.0,0", "2:28 n", "is not a whole number"),
        ("2026-01-05T00:00:00Z,a,new,1e3,0", "2:28 n", "is not a whole number"),
        ("2026-01-05T00:00:00Z,a,new,\u0665,0", "2:28 n", "is not a whole number"),
        ("2026-01-05T00:00:00Z,a,new,,0", "2:28 n", "the cell is empty"),
        ("2026-01-05T00:00:00Z,  ,new,5,0", "2:22 cluster", "the cell is empty"),
        ("2026-01-05T00:00:00Z,a\u0007,new,5,0", "2:22 cluster", "no name"),
        ("2026-01-05T00:00:00Z,a,news,5,0", "2:24 exposure", "did you mean new?"),
        ("2026-13-05T00:00:00Z,a,new,5,0", "2:1 at", "is no instant"),
        ("yesterday,a,new,5,0", "2:1 at", "is no instant"),
        ("0001-01-01T00:00:00+14:00,a,new,5,0", "2:1 at", "is no instant"),
        ("2026-01-05T00:00:00Z,a,new,5", "2:1", "4 fields stand where 5 columns are"),
        ("2026-01-05T00:00:00Z,a,new,5,0,1", "2:1", "6 fields"),
        ('2026-01-05T00:00:00Z,"a"b,new,5,0', "2:1", "is not CSV"),
    ],
)
def test_a_row_that_is_not_counts_refuses_the_file(row, where, what):
    told = refusal(HEAD, row)
    assert told.startswith(f"c.csv:{where}:")
    assert what in told


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ("at,cluster,exposure,n", "1:1 bad: the column is missing"),
        ("at,cluster,exposure,n,bad,extra", "1:27 extra: there is no column 'extra'"),
        ("at,cluster,exposures,n,bad", "did you mean exposure?"),
        ("at,cluster,exposure,n,bad,n", "1:27 n: the column n stands here twice"),
        ("", "1:1 at: the column is missing"),
    ],
)
def test_a_header_with_other_columns_is_refused(header, what):
    assert what in refusal(header, GOOD)


def test_an_instant_twice_or_going_back_names_both_lines():
    again = "2026-01-05T01:00:00+01:00,a,new,9,0"
    assert "3:1 at: a new is counted twice for this instant, first in line 2" in refusal(HEAD, GOOD, again)
    back = "2026-01-04T23:59:00Z,a,new,9,0"
    assert "3:1 at: 2026-01-04T23:59:00Z is before line 2" in refusal(HEAD, GOOD, back)
    assert len(read(HEAD, GOOD, GOOD.replace("new", "old"), back.replace(",a,", ",b,"))) == 3


def test_bytes_that_are_not_text_are_refused_with_their_line(tmp_path):
    path = tmp_path / "c.csv"
    path.write_bytes(HEAD.encode() + b"\n" + GOOD.encode() + b"\n2026-01-05T00:01:00Z,\xff\xfe,new,5,0\n")
    with pytest.raises(CountsError, match=r"c\.csv:3:22 cluster"):
        load_counts(str(path))
    with pytest.raises(CountsError, match="cannot be read"):
        load_counts(str(tmp_path))


# --- specs --------------------------------------------------------------------------------------------

PROMOTION = "name: e\nkind: promotion\nmax_rate: 0.1%\n"


def specs(text):
    found = parse_gates(text.encode(), "g.yaml")
    assert isinstance(found, tuple), found
    return found


def problems(text):
    found = parse_gates(text.encode(), "g.yaml")
    assert isinstance(found, list), found
    return [str(problem) for problem in found]


def test_a_spec_is_read_strictly():
    assert specs(PROMOTION) == (Spec(name="e", kind=Kind.PROMOTION, max_rate=0.001),)
    phases = "name: s\nkind: sample-ratio\nexpected_share:\n"
    phases += "- {at: 2026-01-05, share: 5%}\n- {at: 2026-01-12, share: 0.25}\n"
    expected = (SharePhase(at="2026-01-05", share=0.05), SharePhase(at="2026-01-12", share=0.25))
    assert specs(phases)[0].expected_share == expected
    assert specs("name: s\nkind: sample-ratio\nexpected_share: 25%\n")[0].expected_share == 0.25
    two = "gates:\n- {name: a, kind: promotion, max_rate: 0.1}\n- {name: b, kind: trigger, max_rate: 0.2}\n"
    assert [one.name for one in specs(two)] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (PROMOTION + "alfa: 0.01\n", "4:1 alfa", "did you mean alpha?"),
        (PROMOTION + "margin: 0.1\n", "4:9 margin", "a gate of kind promotion has no margin"),
        (PROMOTION + "alpha: 0.6\n", "4:8 alpha", "at most 0.5"),
        (PROMOTION + "alpha: 0\n", "4:8 alpha", "more than 0"),
        (PROMOTION + "alpha: .nan\n", "4:8 alpha", "is not a number"),
        (PROMOTION + "block_seconds: .inf\n", "4:16 block_seconds", "is not a number"),
        (PROMOTION + "metric: error_rat\n", "4:9 metric", "did you mean error_rate?"),
        (PROMOTION + "expected_share: 0.5\n", "4:17 expected_share", "sample-ratio"),
        (PROMOTION + "name: again\n", "4:1", "stands here twice"),
        (PROMOTION.replace("0.1%", "0"), "3:11 max_rate", "reconcile every one"),
        (PROMOTION.replace("0.1%", "2"), "3:11 max_rate", "did you mean 2%?"),
        (PROMOTION.replace("promotion", "promotions"), "2:7 kind", "did you mean promotion?"),
        ("name: e\nkind: promotion\n", "1:1 max_rate", "needs max_rate"),
        ("name: e\nkind: ab\nmax_rate: 1%\n", "3:11 max_rate", "a gate of kind ab has no max_rate"),
        ("name: e\nkind: sample-ratio\nexpected_share: 1\n", "3:17 expected_share", "leaves nothing to chance"),
        ("name: e\nkind: sample-ratio\nexpected_share:\n- {at: never, share: 0.1}\n", "4:8", "is no instant"),
        ("gates: []\n", "1:1", "there is no gate"),
        ("", "1:1", "empty"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused_with_its_place(text, where, what):
    (told, *_) = problems(text)
    assert told.startswith(f"g.yaml:{where}")
    assert what in told


def test_contradictory_thresholds_of_one_metric_are_refused_in_the_later_gate():
    text = "gates:\n" + "".join(
        f"- {{name: {name}, kind: {kind}, metric: error_rate, max_rate: {rate}}}\n"
        for name, kind, rate in (("a", "promotion", "0.1%"), ("b", "promotion", "0.2%"), ("c", "trigger", "0.05%"))
    )
    told = problems(text)
    assert "g.yaml:3:" in told[0]
    assert "two thresholds" in told[0]
    assert "g.yaml:4:" in told[1]
    assert "which promotion still lets pass" in told[1]


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_spec_does_not_send_anybody_to_write_a_runsheet(text):
    empty = parse_gates(text.encode()), parse(text.encode())
    ((gates,), (sheet,)) = (one for one in empty if isinstance(one, list))
    assert gates.code == sheet.code == "yaml.empty"
    assert "runsheet" not in str(gates)
    assert "crossfade runsheet new" in str(sheet)
