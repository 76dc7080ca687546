"""What benchmarks found is kept, drawn and written up as it was found; nothing here compares a time."""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from bench import page, plots
from bench.__main__ import measured
from bench.found import Curve, Found, Measured, Ratio, number, tables, verdict
from bench.machine import Crowd, Machine, Watch, machine
from bench.page import Result
from bench.sections import SECTIONS, Section

ROOT = Path(__file__).parent.parent
MACHINE = Machine(
    processors=2, model="M", memory_mib=2_048, kernel="Linux 6", file_system="ext4", python="3.11.7",
    packages={"crossfade": "1", "apsw": "3"}, commit="abc",
)  # fmt: skip
CROWD = Crowd(load_before=0.25, load_median=2, load_max=5, idle=0.5, stolen=0.01)
FOUND = Found(
    measured=(Measured(name="an append", unit="µs", each=(8.0, 12.0, 9.0)),),
    ratios=(
        Ratio(name="log / file", each=(0.5, 0.7, 0.6), least=0.65),
        Ratio(name="restart", each=(1.0, 2.0, 9.0), most=5.0, unit="s"),
        Ratio(name="on / none", each=(1.0, 1.1, 1.2)),
    ),
    curves=(
        Curve(name="memory", x="agents", y="MiB", lines={"hub": ((1.0, 50.0), (2.0, 60.0)), "low": ((1.0, 1.0),)}),
    ),
    said=("One peer could not be run.",),
)


def result(name: str, found: Found = FOUND) -> Result:
    return Result(
        section=name, day="2026-11-23", command=f"python -m bench.{name}", machine=MACHINE, crowd=CROWD,
        took_seconds=61.4, found=found,
    )  # fmt: skip


def test_what_is_kept_is_read_again_and_each_section_can_be_kept_alone(tmp_path: Path) -> None:
    page.save(result("log_append"), tmp_path)
    page.save(result("calls"), tmp_path)
    page.save(result("calls", Found()), tmp_path)
    assert page.results(tmp_path) == {"calls": result("calls", Found()), "log_append": result("log_append")}


def test_a_page_has_every_section_with_its_command_its_machine_its_figures_and_its_note(tmp_path: Path) -> None:
    (tmp_path / "log_append.md").write_text("A file is [the least](../../docs/log.md).\n", "utf-8")
    text = page.page({"log_append": result("log_append")}, tmp_path)
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [section.title for section in SECTIONS]
    _, _, rest = text.partition("## The log beside an append-only file\n")
    section = rest.partition("\n## ")[0]
    assert "```sh\npython -m bench.log_append\n```" in section
    assert "Load average before 0.2" in section
    assert "2 runnable processes (median, at most 5)" in section
    assert "| an append | 9.00 µs | 8.00 to 12.00 | 3 |" in section
    assert "One peer could not be run." in section
    assert section.rstrip().endswith("A file is [the least](../docs/log.md).")
    assert "Not measured: `python -m bench.run --rounds 5 --seconds 3`." in text


def test_a_bound_is_judged_by_its_median_and_rounds_that_disagree_are_told() -> None:
    missed, reached, free = FOUND.ratios
    assert verdict(missed) == "**missed**, in 2 of 3 rounds"
    assert verdict(reached) == "reached, in 2 of 3 rounds"
    assert verdict(free) == ""
    assert verdict(msgspec.structs.replace(missed, each=(0.65, 0.7))) == "reached"
    assert verdict(msgspec.structs.replace(reached, each=(5.1, 6.0))) == "**missed**"


def test_the_overview_names_what_was_missed_and_nothing_else(tmp_path: Path) -> None:
    text = page.page({"log_append": result("log_append")}, tmp_path)
    assert "| The log beside an append-only file | 1 of 2 | log / file |" in text
    fine = msgspec.structs.replace(FOUND, ratios=FOUND.ratios[1:])
    assert "| 1 of 1 | none |" in page.page({"log_append": result("log_append", fine)}, tmp_path)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (0.0412345, "0.0412"), (1.2345, "1.23"), (99.994, "99.99"), (123.6, "124"), (12_345.6, "12,346")],
)
def test_a_figure_has_about_three_digits(value: float, said: str) -> None:
    assert number(value) == said


def test_every_curve_becomes_an_image_that_stands_alone(tmp_path: Path) -> None:
    plots.draw({"fleet": result("fleet")}, tmp_path)
    drawn = ET.fromstring((tmp_path / "memory.svg").read_text("utf-8"))  # noqa: S314, our own text
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    lines = [one for one in drawn.iter() if one.tag.endswith("polyline")]
    assert len(lines) == 2
    assert "var(--first)" in (lines[0].get("stroke") or "")
    assert "--first:#" in "".join(drawn.itertext())


def test_the_page_and_the_images_in_the_tree_are_drawn_from_what_is_kept(tmp_path: Path) -> None:
    kept = page.results()
    assert page.PAGE.read_text("utf-8") == page.page(kept), "python -m bench --render"
    plots.draw(kept, tmp_path)
    for path in sorted(tmp_path.iterdir()):
        assert (plots.FOLDER / path.name).read_text("utf-8") == path.read_text("utf-8"), "python -m bench --render"


def test_every_benchmark_is_a_section() -> None:
    programs = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "bench").rglob("*.py")
        if "show(as_json=" in path.read_text("utf-8") and path.name != "found.py"
    }
    assert programs == {section.module for section in SECTIONS}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_section_is_run_as_a_program_and_one_that_fails_is_no_result(capfd: pytest.CaptureFixture[str]) -> None:
    tiny = Section(name="measuring", title="T", module="bench.measuring", arguments=("--questions", "20"), minutes=0.1)
    found = measured(tiny, 2)
    assert found is not None
    assert found.command == "python -m bench.measuring --rounds 2 --questions 20"
    assert [len(ratio.each) for ratio in found.found.ratios] == [2, 2]
    assert found.machine.processors > 0
    assert "off / none" in "\n".join(tables(found.found))
    assert measured(msgspec.structs.replace(tiny, arguments=("--nonsense",)), 1) is None
    assert "error: measuring ended with exit code 2" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_machine_says_what_it_is_and_how_busy_it_was(tmp_path: Path) -> None:
    facts, crowd = machine(tmp_path), Watch().crowd()
    assert facts.memory_mib > 100
    assert facts.python.startswith("3.")
    assert {"apsw", "msgspec"} <= set(facts.packages)
    assert crowd.load_max >= crowd.load_median >= 0
    assert 0 <= crowd.idle <= 1
