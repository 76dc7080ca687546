"""Profiles that make no sense, or that this machine cannot carry, are refused with what to change."""

import math

import pytest

from crossfade.fleet.dice import Dice
from crossfade.fleet.load.feasible import Machine, of_this_machine, plan
from crossfade.fleet.load.profile import Phase, Profile, ProfileError, check
from crossfade.fleet.load.run import drain_seconds
from crossfade.fleet.model import MODELS, AgentModel

BIG = Machine(descriptors=20_000, ports=28_232, free_mib=8_000)


def of(**changes: object) -> Profile:
    rate = changes.pop("rate", 10.0)
    seconds = changes.pop("seconds", 5.0)
    assert isinstance(rate, float | int)
    assert isinstance(seconds, float | int)
    return Profile(phases=(Phase("steady", seconds, rate),), **{"agents": 100, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"agents": 0}, "--agents 0"),
        ({"agents": 1}, "--agents 1"),
        ({"agents": -5}, "--agents -5"),
        ({"rate": 0}, "0 questions a second"),
        ({"rate": -1}, "-1 questions a second"),
        ({"rate": math.nan}, "nan questions a second"),
        ({"rate": math.inf}, "inf questions a second"),
        ({"seconds": 0}, "0 seconds"),
        ({"seconds": math.nan}, "nan seconds"),
        ({"seconds": -3}, "-3 seconds"),
        ({"share": 1.5}, "--share 1.5"),
        ({"share": math.nan}, "--share nan"),
        ({"payload_bytes": 0}, "--payload-bytes"),
        ({"payload_bytes": 100_000}, "--payload-bytes"),
        ({"fan_out": 0}, "--fan-out"),
        ({"fan_out": 100}, "a fan-out of 100"),
        ({"burst": 0.5}, "--burst"),
        ({"burst": math.nan}, "--burst"),
        ({"experts": 100}, "100 experts"),
        ({"experts": 2, "fan_out": 3}, "as many experts"),
        ({"clusters": 25, "within": 1.0, "fan_out": 4}, "clusters of 4"),
        ({"rate": 0.01}, "less than one question"),
        ({"clusters": 80}, "80 clusters"),
        ({"within": -0.1}, "--within"),
        ({"lines": 1_001}, "--connections"),
        ({"lines": -1}, "--connections"),
        ({"processes": 65}, "--processes"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ProfileError) as caught:
        check(of(**changes))
    assert said in caught.value.message
    assert caught.value.hint


def test_a_profile_that_makes_sense_is_not_refused() -> None:
    check(of())
    check(of(experts=99, share=1.0, fan_out=99, burst=10_000, clusters=50))
    check(of(experts=3, fan_out=3, within=1.0))
    check(of(clusters=25, within=1.0, fan_out=3))
    check(of(clusters=25, within=0.9, fan_out=4))
    check(of(rate=0.2))


def test_fifteen_thousand_agents_fit_two_processes_of_twenty_thousand_descriptors() -> None:
    found = plan(of(agents=15_000), BIG, "127.0.0.1", own_hub=True)
    assert (found.processes, found.lines, found.sources) == (2, 500, ("127.0.0.1",))


def test_too_few_descriptors_are_refused_with_the_number_of_processes_that_would_do() -> None:
    small = Machine(descriptors=1_024, ports=28_232, free_mib=8_000)
    with pytest.raises(ProfileError) as caught:
        plan(of(agents=5_000, processes=2), small, "127.0.0.1", own_hub=False)
    assert "descriptors" in caught.value.message
    assert caught.value.hint.startswith("--processes 7")
    assert plan(of(agents=5_000, processes=7), small, "127.0.0.1", own_hub=False).processes == 7
    assert plan(of(agents=5_000), small, "127.0.0.1", own_hub=False).processes == 7


def test_more_connections_than_a_hub_holds_are_refused() -> None:
    with pytest.raises(ProfileError) as caught:
        plan(of(agents=17_500), BIG, "127.0.0.1", own_hub=True)
    assert "one hub" in caught.value.message
    assert "--agents 17000" in caught.value.hint
    tight = Machine(descriptors=1_024, ports=28_232, free_mib=8_000)
    with pytest.raises(ProfileError, match="921 connections"):
        plan(of(agents=500), tight, "127.0.0.1", own_hub=True)


@pytest.mark.parametrize("descriptors", [200, 400, 1_024, 1_200])
def test_what_is_advised_where_a_hub_holds_few_connections_would_do(descriptors: int) -> None:
    few = Machine(descriptors=descriptors, ports=28_232, free_mib=8_000)
    with pytest.raises(ProfileError) as caught:
        plan(of(agents=1_000), few, "127.0.0.1", own_hub=True)
    words = caught.value.hint.replace(",", "").split()
    advised = {flag: int(words[words.index(flag) + 1]) for flag in ("--agents", "--connections") if flag in words}
    changed = of(agents=advised["--agents"], lines=advised.get("--connections", 1_000))
    assert plan(changed, few, "127.0.0.1", own_hub=True).processes >= 2


def test_connections_that_the_load_processes_cannot_share_are_refused() -> None:
    with pytest.raises(ProfileError) as caught:
        plan(of(lines=3, processes=4), BIG, "127.0.0.1", own_hub=True)
    assert "--connections 4" in caught.value.hint
    assert plan(of(lines=4, processes=4), BIG, "127.0.0.1", own_hub=True).lines == 1


@pytest.mark.parametrize(
    ("descriptors", "agents", "lines"),
    [(20_000, 15_000, 1_000), (20_000, 17_500, 500), (1_024, 20, 901), (256, 20, 210)],
)
def test_shared_connections_that_nobody_numbered_are_as_many_as_fit(descriptors: int, agents: int, lines: int) -> None:
    """A fleet of twenty is not refused for a thousand connections that it would not need."""
    machine = Machine(descriptors=descriptors, ports=28_232, free_mib=8_000)
    found = plan(of(agents=agents, lines=0), machine, "127.0.0.1", own_hub=True)
    assert lines - found.processes < found.lines * found.processes <= lines


def test_where_none_fit_it_is_refused_as_if_they_had_been_numbered() -> None:
    few = Machine(descriptors=256, ports=28_232, free_mib=8_000)
    with pytest.raises(ProfileError, match="300 agents and 1,000 shared connections"):
        plan(of(agents=300, lines=0), few, "127.0.0.1", own_hub=True)
    elsewhere = plan(of(agents=200, lines=0), few, "127.0.0.1", own_hub=False)
    assert elsewhere.lines * elsewhere.processes > 230, "another hub has limits of its own"


def test_too_little_address_space_for_a_process_is_refused() -> None:
    tight = Machine(descriptors=20_000, ports=28_232, free_mib=8_000, address_mib=300)
    plan(of(agents=500), tight, "127.0.0.1", own_hub=True)
    with pytest.raises(ProfileError) as caught:
        plan(of(agents=5_000), tight, "127.0.0.1", own_hub=True)
    assert "address space" in caught.value.message
    assert "ulimit -v" in caught.value.hint
    plan(of(agents=5_000), tight, "127.0.0.1", own_hub=False)


def test_source_addresses_of_this_machine_are_refused_for_a_hub_on_another() -> None:
    with pytest.raises(ProfileError, match="loopback"):
        plan(of(sources=2), BIG, "192.0.2.7", own_hub=False)


def test_short_ports_take_more_source_addresses_and_too_few_wished_are_refused() -> None:
    narrow = Machine(descriptors=20_000, ports=5_000, free_mib=8_000)
    assert plan(of(agents=15_000), narrow, "127.0.0.1", own_hub=True).sources == tuple(
        f"127.0.0.{number}" for number in (1, 2, 3, 4)
    )
    with pytest.raises(ProfileError) as caught:
        plan(of(agents=15_000, sources=2), narrow, "127.0.0.1", own_hub=True)
    assert "--sources 4" in caught.value.hint
    with pytest.raises(ProfileError, match="ports of one address"):
        plan(of(agents=15_000), narrow, "192.0.2.7", own_hub=False)
    assert plan(of(agents=1_000), narrow, "192.0.2.7", own_hub=False).sources == ()


def test_too_little_memory_is_refused_with_what_would_fit() -> None:
    poor = Machine(descriptors=20_000, ports=28_232, free_mib=600)
    with pytest.raises(ProfileError) as caught:
        plan(of(agents=15_000), poor, "127.0.0.1", own_hub=True)
    assert "MiB" in caught.value.message
    fit = int(caught.value.hint.split()[3].rstrip(","))
    assert 1_000 < fit < 15_000
    plan(of(agents=fit), poor, "127.0.0.1", own_hub=True)
    with pytest.raises(ProfileError):
        plan(of(agents=fit + 2), poor, "127.0.0.1", own_hub=True)


def test_where_not_even_two_agents_fit_into_memory_none_are_advised() -> None:
    poor = Machine(descriptors=20_000, ports=28_232, free_mib=100)
    with pytest.raises(ProfileError) as caught:
        plan(of(agents=2), poor, "127.0.0.1", own_hub=True)
    assert caught.value.hint.startswith("free some memory")


def test_too_few_processes_and_threads_are_refused_and_enough_are_not() -> None:
    few = Machine(descriptors=20_000, ports=28_232, free_mib=8_000, tasks=21)
    assert plan(of(), few, "127.0.0.1", own_hub=True).processes == 2
    with pytest.raises(ProfileError) as caught:
        plan(of(processes=4), few, "127.0.0.1", own_hub=True)
    assert "24 processes and threads, and 21" in caught.value.message
    assert "pids.max" in caught.value.hint
    assert "--processes" in caught.value.hint
    assert plan(of(processes=4), few, "127.0.0.1", own_hub=False).processes == 4, "a hub that is there has begun"


def test_a_limit_of_processor_time_is_told_and_refuses_nothing() -> None:
    slow = Machine(descriptors=20_000, ports=28_232, free_mib=8_000, cores=0.5)
    (said,) = plan(of(), slow, "127.0.0.1", own_hub=True).warnings
    assert "0.50 cores" in said
    assert plan(of(), BIG, "127.0.0.1", own_hub=True).warnings == ()


def test_this_machine_can_be_looked_at() -> None:
    found = of_this_machine()
    assert found.descriptors > 0
    assert found.ports > 0
    assert found.free_mib > 0


def test_askers_read_the_end_in_their_mailbox_when_waiting_would_take_too_many_lines() -> None:
    assert not of(rate=900).ends_by_mail
    assert of(rate=900, model=MODELS["assistant"]).ends_by_mail


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_nothing_counts_as_lost_before_agents_that_were_busy_for_long_have_had_their_time(model: AgentModel) -> None:
    dice = Dice(1)
    slowest = max(model.work(dice) + model.think(dice) for _ in range(20_000))
    assert drain_seconds(of(model=model)) >= slowest + 30.0
