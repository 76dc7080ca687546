"""The report of a run: true as well of one that was cut short, of a hub that died on the way, and of a long run."""

import msgspec
import pytest

from crossfade.fleet.journal import Entry, Step
from crossfade.fleet.load import gauge as gauges
from crossfade.fleet.load.absence import Absence
from crossfade.fleet.load.account import Findings
from crossfade.fleet.load.crowd import NOTHING
from crossfade.fleet.load.gauge import Gauge
from crossfade.fleet.load.profile import Phase, Profile
from crossfade.fleet.load.report import LoadReport, Sample
from crossfade.fleet.load.telling import of_share, report_of
from crossfade.fleet.load.vitals import Vitals

SECOND = 1_000_000_000


class Hub:
    """A target of which only the vitals are looked at."""

    def __init__(self) -> None:
        self.now: Vitals | None = Vitals(cpu_seconds=1.0, rss_mib=100.0)

    def vitals(self) -> Vitals | None:
        return self.now


class Child:
    """A load process that has nothing to say."""

    state = NOTHING
    last = None


class Run:
    """A run whose clock the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, profile: Profile) -> None:
        self.at_ns, self.hub, self.profile = 0, Hub(), profile
        monkeypatch.setattr(gauges, "monotonic_ns", lambda: self.at_ns)
        self.gauge = Gauge(self.hub, [Child()])  # type: ignore[arg-type, list-item]
        self.gauge.begin(0)
        self.found = Findings(profile.phases, 0)

    def answered(self, second: float) -> None:
        number, end = self.found.questions, int(second * SECOND)
        content = f'{{"note":"{number}","ok":true}}'
        of = msgspec.structs.replace
        first = Entry(agent="a", step=Step.ASKED, question=f"q_{number}", at_ns=end, since_ns=end, peer="b")
        got = of(first, agent="b", step=Step.RECEIVED, channel="poll", lane="polling")
        said = of(first, agent="b", step=Step.ANSWERED, status="accepted", content=content)
        ended = of(first, step=Step.ENDED, status="answered", content=content)
        self.found.add([[first, got, said, ended]], cut=True)

    def seen(self, at_seconds: float, hub: Vitals | None) -> None:
        self.at_ns, self.hub.now = int(at_seconds * SECOND), hub
        self.gauge.sample()

    def report(self, reason: str = "", scenario: str = "baseline") -> LoadReport:
        if reason:
            self.gauge.cut()
        return report_of(scenario, self.profile, self.gauge, self.found, reason)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(monkeypatch, Profile(agents=10, phases=(Phase("steady", 60.0, 10.0),)))


def test_the_rate_of_a_run_that_was_cut_short_is_that_of_the_time_it_had(run: Run) -> None:
    """Not of the schedule, which nobody waited for."""
    for second in (0.5, 1.0, 1.5, 1.9):
        run.answered(second)
    run.seen(2.0, Vitals(cpu_seconds=1.5, rss_mib=101.0))
    assert run.report("interrupted").questions_per_second == 2.0


def test_a_hub_that_hung_for_long_before_the_run_was_cut_is_not_flattered(run: Run) -> None:
    for second in (0.5, 1.0, 1.5, 2.0):
        run.answered(second)
    run.seen(40.0, Vitals(cpu_seconds=1.5, rss_mib=101.0))
    assert run.report("interrupted").questions_per_second == 0.1


def test_the_rate_of_a_whole_run_is_over_its_schedule(run: Run) -> None:
    run.answered(1.0)
    run.at_ns = 61 * SECOND
    assert run.report().questions_per_second == 0.02


def test_of_a_hub_that_died_it_is_told_what_it_used_when_it_was_last_seen(run: Run) -> None:
    run.answered(1.0)
    run.seen(2.0, Vitals(cpu_seconds=2.0, rss_mib=110.0))
    run.seen(4.0, None)
    report = run.report("the hub ended by itself")
    assert (report.hub_cpu, report.hub_rss_mib) == (0.5, 110.0)


def test_a_hub_that_was_never_seen_is_told_as_such(run: Run) -> None:
    run.gauge.marks["begin"].hub = None
    run.seen(2.0, None)
    report = run.report("interrupted")
    assert (report.hub_cpu, report.hub_rss_mib, report.hub_rss_peak_mib) == (None, None, None)


def test_the_peak_of_memory_is_never_below_what_it_was_at_a_turn(run: Run) -> None:
    run.seen(1.0, Vitals(cpu_seconds=1.5, rss_mib=120.0))
    run.seen(2.5, Vitals(cpu_seconds=2.0, rss_mib=119.0))
    run.at_ns, run.hub.now = 3 * SECOND, Vitals(cpu_seconds=2.0, rss_mib=130.0)
    run.gauge.end_of_schedule()
    report = run.report()
    assert (report.hub_rss_mib, report.hub_rss_peak_mib) == (130.0, 130.0)


@pytest.mark.parametrize(
    ("seconds", "mib_an_hour", "leaks", "said"),
    [
        (1_800, 0.0, False, None),
        (1_800, 60.0, True, "memory grows: by"),
        (300, 60.0, False, "too short to tell a leak"),
        (20, 60.0, False, "was not measured"),
    ],
)
def test_a_long_run_is_unsound_if_memory_grows_and_a_short_one_says_that_it_cannot_tell(
    run: Run, seconds: int, mib_an_hour: float, leaks: bool, said: str | None
) -> None:
    run.profile = Profile(agents=10, phases=(Phase("steady", float(seconds), 100.0),))
    for at in range(seconds):
        rss = 100 + mib_an_hour * at / 3_600 + (at * 7 % 13) / 100
        run.gauge.samples.append(Sample(float(at), 10, 0, 0.1, 0.1, rss))
    run.answered(1.0)
    endurance = run.report(scenario="endurance")
    assert (endurance.leaks, endurance.sound) == (leaks, not leaks)
    assert [text for text in endurance.warnings if "memory" in text or "leak" in text] == [
        text for text in endurance.warnings if said is not None and said in text
    ]
    assert bool(said) == any("memory" in text or "leak" in text for text in endurance.warnings)
    baseline = run.report()
    assert (baseline.leaks, baseline.sound) == (False, True), "only where it is what counts"


@pytest.mark.parametrize(
    ("agents", "share", "found", "said"),
    [
        (3, 0.5, 1.0, "100% of the agents were on elicitation, not 50%"),
        (3, 0.5, 0.0, "0% of the agents were on elicitation, not 50%"),
        (1_000, 0.5, 0.51, ""),
        (1_000, 0.0, 0.0, ""),
    ],
)
def test_a_share_that_whole_clusters_do_not_come_to_is_told(agents: int, share: float, found: float, said: str) -> None:
    assert "".join(of_share(Profile(agents=agents, share=share), found)).startswith(said)
    assert bool(of_share(Profile(agents=agents, share=share), found)) == bool(said)


def test_a_hub_that_is_started_again_is_waited_for_and_one_that_stays_away_is_not() -> None:
    absence = Absence()
    looks = [(0.0, False), (1.0, True), (11.0, True), (11.5, False), (12.0, True), (22.0, True)]
    assert not any(absence.look(int(second * SECOND), away=away) for second, away in looks)
    assert absence.told() == ["the hub was away for 10.5 s"]
    assert absence.look(int(22.1 * SECOND), away=True)


def test_the_processor_time_of_a_hub_that_was_started_again_is_of_two_processes_and_not_told(run: Run) -> None:
    run.gauge.marks["begin"].hub = Vitals(cpu_seconds=5.0, rss_mib=110.0, pid=1)
    run.at_ns, run.hub.now = 3 * SECOND, Vitals(cpu_seconds=2.0, rss_mib=90.0, pid=2)
    run.gauge.end_of_schedule()
    report = run.report()
    assert (report.hub_cpu, report.hub_waited, report.hub_rss_mib) == (None, None, 90.0)


def test_a_hub_that_was_gone_when_the_last_question_was_due_is_told_as_it_was_last_seen(run: Run) -> None:
    run.seen(2.0, Vitals(cpu_seconds=2.0, rss_mib=110.0))
    run.at_ns, run.hub.now = 5 * SECOND, None
    run.gauge.end_of_schedule()
    report = run.report("the hub cannot be reached any more")
    assert (report.hub_cpu, report.hub_rss_mib) == (0.5, 110.0)
