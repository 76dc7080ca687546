"""The rollout: forward with care, back at any minute."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.core import cohorts, records, rollouts
from crossfade.core.decider import Refusal
from crossfade.core.rollouts import (
    Deprecate,
    Freeze,
    Hold,
    Kill,
    Method,
    Remove,
    Resume,
    SetShare,
    Source,
    Start,
    State,
    Status,
)
from crossfade.core.values import SECOND, Instant, Lane
from tests.kit.tables import ids, rows

AGENTS = {f"agent-{number}": f"team-{number // 5}" for number in range(100)}
WEIGHTS = {f"team-{number}": 5 for number in range(20)}
SUNSET, LATER = Instant(1_000 * SECOND), Instant(2_000 * SECOND)
UNDO_SECONDS = 500
UNDO_UNTIL = Instant(LATER + UNDO_SECONDS * SECOND)
BEFORE = Instant(1)
INSTANTS = [BEFORE, SUNSET, LATER, UNDO_UNTIL]

COMMANDS: dict[str, rollouts.Command] = {
    "start": Start(name="main", salt="s"),
    "freeze": Freeze(clusters=AGENTS, weights=WEIGHTS, method=Method.LABEL, oversized=("team-1",)),
    "share 0": SetShare(share=0.0, reason="r"),
    "share 0.25": SetShare(share=0.25, reason="r"),
    "share 0.5": SetShare(share=0.5, reason="r"),
    "share 0.75": SetShare(share=0.75, reason="r"),
    "share 1": SetShare(share=1.0, reason="r"),
    "share 1.5": SetShare(share=1.5, reason="r"),
    "hold": Hold(reason="h"),
    "resume": Resume(reason="r"),
    "kill": Kill(reason="k", source=Source.COMMAND),
    "deprecate": Deprecate(sunset_at=SUNSET, notice="Polling ends."),
    "deprecate late": Deprecate(sunset_at=BEFORE, notice="Polling ends."),
    "remove": Remove(undo_seconds=UNDO_SECONDS),
}
_DUAL = ["start", "freeze", "share 0.5"]
_DEPRECATED = ["start", "freeze", "share 1", "deprecate"]
GIVEN: dict[str, tuple[list[str], Instant]] = {
    "nothing": ([], BEFORE),
    "started": (["start"], BEFORE),
    "frozen": (["start", "freeze"], BEFORE),
    "dual": (_DUAL, BEFORE),
    "dual, held": ([*_DUAL, "hold"], BEFORE),
    "killed": ([*_DUAL, "kill"], BEFORE),
    "rolled back": ([*_DUAL, "share 0"], BEFORE),
    "elicitation": (["start", "freeze", "share 1"], BEFORE),
    "elicitation, held": (["start", "freeze", "share 1", "hold"], BEFORE),
    "deprecated": (_DEPRECATED, BEFORE),
    "sunset": (_DEPRECATED, SUNSET),
    "sunset, held": ([*_DEPRECATED, "hold"], SUNSET),
    "removed": ([*_DEPRECATED, "remove"], Instant(UNDO_UNTIL - 1)),
    "removed for good": ([*_DEPRECATED, "remove"], UNDO_UNTIL),
    "restored": ([*_DEPRECATED, "remove", "kill"], LATER),
}
"""Name, commands that lead there, and the present. Each step is taken as late as it must be."""

TABLE = rows("rollouts")
NOTHING = "nothing new"
"""In the table: accepted, with no event."""


def after(*commands: rollouts.Command | str, state: State = rollouts.DECIDER.initial) -> State:
    """The state after commands that must all be accepted."""
    for command in commands:
        given_command = COMMANDS[command] if isinstance(command, str) else command
        now = LATER if isinstance(given_command, Remove) else BEFORE
        events = rollouts.decide(state, given_command, now)
        assert not isinstance(events, Refusal), (command, events)
        for event in events:
            state = rollouts.evolve(state, event)
    return state


def refusal(state: State, command: rollouts.Command | str, now: Instant = BEFORE) -> str:
    """The code with which ``command`` is refused."""
    outcome = rollouts.decide(state, COMMANDS[command] if isinstance(command, str) else command, now)
    assert isinstance(outcome, Refusal), outcome
    return outcome.code


def outcome_of(name: str, command: str) -> str:
    """What the table says about a row."""
    commands, now = GIVEN[name]
    state = after(*commands)
    outcome = rollouts.decide(state, COMMANDS[command], now)
    if isinstance(outcome, Refusal):
        return outcome.code
    if not outcome:
        return NOTHING
    events = "+".join(type(event).__name__ for event in outcome)
    for event in outcome:
        state = rollouts.evolve(state, event)
    return f"{events} -> {state.status} {state.share:g}{' held' if state.held else ''} e{state.epoch}"


@pytest.mark.parametrize("row", TABLE, ids=ids(TABLE))
def test_a_command_has_the_outcome_of_the_table(row: dict[str, str]) -> None:
    assert outcome_of(row["given"], row["when"]) == row["then"]


def test_the_table_has_every_state_with_every_command_once() -> None:
    pairs = [(row["given"], row["when"]) for row in TABLE]
    assert pairs == list(itertools.product(GIVEN, COMMANDS))


def test_every_transition_and_every_refusal_is_in_the_table() -> None:
    reached = set()
    for row in TABLE:
        if "->" in row["then"]:
            status = after(*GIVEN[row["given"]][0]).status
            event = getattr(rollouts, row["then"].split(" -> ", maxsplit=1)[0])
            reached.add((status, event))
    # Holding and resuming are possible everywhere; the table shows them once for each way of being held.
    plain = {pair for pair in rollouts.NEXT if pair[1] not in (rollouts.Held, rollouts.Resumed)}
    assert plain <= reached
    refused = {row["then"] for row in TABLE if "->" not in row["then"]} - {NOTHING}
    bad_arguments = {"rollout.bad_name", "rollout.bad_clusters", "rollout.bad_notice", "rollout.bad_undo"}
    documented = (rollouts.decide.__doc__ or "").split("Refuses with: ")[1].rstrip(". \n")
    assert {code.strip() for code in documented.split(",")} == refused | bad_arguments


def test_going_forward_again_brings_the_same_clusters_in_the_same_order() -> None:
    first = after("start", "freeze", "share 0.25")
    again = after("kill", "resume", "share 0.25", state=after("share 0.75", state=first))
    assert again.threshold == first.threshold
    assert again.epoch == first.epoch + 1


def test_the_lane_of_an_agent_is_that_of_its_frozen_cluster() -> None:
    state = after("start", "freeze", "share 0.5")
    lanes = {agent: rollouts.lane_of_agent(state, agent, label="another") for agent in AGENTS}
    assert sum(lane is Lane.ELICITATION for lane in lanes.values()) == 50
    for agent, team in AGENTS.items():
        assert lanes[agent] is cohorts.lane_of("s", state.threshold, team)


def test_an_agent_that_came_later_goes_with_its_label_else_alone() -> None:
    state = after("start", "freeze", "share 0.5")
    for team in WEIGHTS:
        assert rollouts.lane_of_agent(state, "late", team) is cohorts.lane_of("s", state.threshold, team)
        assert rollouts.lane_of_agent(state, team) is cohorts.lane_of("s", state.threshold, team)


def test_everybody_polls_before_and_after_and_nobody_once_it_is_complete() -> None:
    for commands, lane in (
        ([], Lane.POLLING),
        ([*_DUAL, "kill"], Lane.POLLING),
        ([*_DEPRECATED, "kill"], Lane.POLLING),
        (["start", "freeze", "share 1"], Lane.ELICITATION),
        ([*_DEPRECATED, "remove"], Lane.ELICITATION),
    ):
        state = after(*commands)
        assert {rollouts.lane_of_agent(state, agent) for agent in (*AGENTS, "late")} == {lane}


def test_a_kill_forgets_the_deprecation_and_says_why_it_is_held() -> None:
    state = after(*_DEPRECATED, "kill")
    assert (state.sunset_at, state.notice, state.achieved, state.held_reason) == (None, "", 0.0, "k")
    outcome = rollouts.decide(state, COMMANDS["share 0.25"], BEFORE)
    assert isinstance(outcome, Refusal)
    assert outcome.message == "The rollout is held: k"


def test_a_share_between_two_whole_clusters_reports_what_it_achieved() -> None:
    state = after("start", "freeze", SetShare(share=0.07, reason=""))
    assert (state.share, state.achieved) == (0.07, 0.05)


_STARTED, _COMPLETE, _SUNSET = after("start"), after("start", "freeze", "share 1"), after(*_DEPRECATED)
_MANY = {f"a{number}": "x" for number in range(50_001)}
OUT_OF_BOUNDS: list[tuple[State, rollouts.Command]] = [
    *(
        (State(), Start(name=name, salt=salt))
        for name, salt in (("", "s"), ("n" * 129, "s"), ("n", ""), ("n", "s" * 129))
    ),
    *(
        (_STARTED, Freeze(clusters=clusters, weights=weights, method=Method.LABEL))
        for clusters, weights in (({"a": "x"}, {}), ({"a": "x"}, {"x": -1}), (_MANY, {"x": 1}))
    ),
    *((_COMPLETE, SetShare(share=share, reason="")) for share in (-0.1, 1.1, float("nan"), float("inf"))),
    *((_COMPLETE, Deprecate(sunset_at=SUNSET, notice=notice)) for notice in ("", "n" * 2_001)),
    *((_SUNSET, Remove(undo_seconds=seconds)) for seconds in (-1, 90 * 86_400 + 1)),
]
IN_BOUNDS: list[tuple[State, rollouts.Command]] = [
    *((State(), Start(name=name, salt=salt)) for name, salt in (("n" * 128, "s" * 128), ("n", "s"))),
    (_STARTED, Freeze(clusters=dict(list(_MANY.items())[:50_000]), weights={"x": 0}, method=Method.LABEL)),
    *((_COMPLETE, Deprecate(sunset_at=Instant(SUNSET + 1), notice=notice)) for notice in ("n", "n" * 2_000)),
    *((_SUNSET, Remove(undo_seconds=seconds)) for seconds in (0, 90 * 86_400)),
]
"""The last that is accepted on each side."""


def test_arguments_out_of_bounds_are_refused_and_the_last_within_are_not() -> None:
    codes = {refusal(state, command, LATER) for state, command in OUT_OF_BOUNDS}
    assert codes == {f"rollout.bad_{what}" for what in ("name", "clusters", "share", "notice", "undo")}
    for state, command in IN_BOUNDS:
        assert not isinstance(rollouts.decide(state, command, SUNSET), Refusal), command


def test_a_reason_that_is_too_long_is_cut_and_never_stops_a_kill() -> None:
    state = after(*_DUAL, Kill(reason="k" * 10_000, source=Source.FILE))
    assert state.held_reason == "k" * 500


def events_of(state: State, *commands: rollouts.Command | str) -> list[records.Event]:
    """What each command records, from the same state, late enough for all."""
    found = []
    for command in commands:
        outcome = rollouts.decide(state, COMMANDS[command] if isinstance(command, str) else command, LATER)
        assert not isinstance(outcome, Refusal), outcome
        found += outcome
    return found


def test_what_is_recorded_says_how_far_and_why() -> None:
    frozen, dual = after("start", "freeze"), after(*_DUAL)
    quarter = cohorts.threshold_for("s", WEIGHTS, 0.25)
    assert events_of(State(), "start") == [rollouts.Started(name="main", salt="s", hash_version=1)]
    assert events_of(after("start"), "freeze") == [
        rollouts.ClustersFrozen(clusters=AGENTS, weights=WEIGHTS, method=Method.LABEL, oversized=("team-1",))
    ]
    assert events_of(frozen, "share 0.25", "share 1") == [
        rollouts.ShareSet(share=0.25, threshold=quarter, achieved=0.25, reason="r"),
        rollouts.Completed(reason="r"),
    ]
    assert events_of(dual, "share 0.25", "share 0", "hold", "kill") == [
        rollouts.ShareLowered(share=0.25, threshold=quarter, achieved=0.25, epoch=1, reason="r"),
        rollouts.RolledBack(epoch=1, reason="r"),
        rollouts.Held(reason="h"),
        rollouts.Killed(source=Source.COMMAND, epoch=1, reason="k"),
    ]
    removed = after(*_DEPRECATED, "remove")
    assert events_of(after(*_DUAL, "hold"), "resume") == [rollouts.Resumed(reason="r")]
    assert events_of(after(*_DEPRECATED), "remove") == [rollouts.Removed(undo_until=UNDO_UNTIL)]
    assert events_of(removed, "kill") == [rollouts.Restored(source=Source.COMMAND, reason="k")]


def test_a_freeze_is_kept_as_it_was_given() -> None:
    state = after("start", "freeze")
    kept = (state.frozen, state.clusters, state.weights, state.method, state.oversized)
    assert kept == (True, AGENTS, WEIGHTS, Method.LABEL, ("team-1",))


def test_whoever_resumes_forgets_why_it_was_held() -> None:
    state = after(*_DUAL, "hold", "resume")
    assert (state.held, state.held_reason) == (False, "")
    unexplained = after(*_DUAL, Hold(reason=""))
    outcome = rollouts.decide(unexplained, COMMANDS["share 0.75"], BEFORE)
    assert isinstance(outcome, Refusal)
    assert outcome.message == "The rollout is held: no reason given."


def test_a_higher_share_never_takes_anybody_back_and_a_lower_one_looks_for_the_closest() -> None:
    low = after("start", "freeze", SetShare(share=0.07, reason=""))
    high = after(SetShare(share=0.071, reason=""), state=low)
    assert high.threshold >= low.threshold
    heavy = Freeze(clusters={"a": "x", "b": "y"}, weights={"x": 90, "y": 10}, method=Method.LABEL)
    order = sorted(("x", "y"), key=lambda name: cohorts.point("s", name))
    first = {"x": 0.9, "y": 0.1}[order[0]]
    state = after("start", heavy, SetShare(share=first, reason=""))
    assert state.achieved == first
    up = after(SetShare(share=min(1.0, first + 0.01), reason=""), state=state)
    assert (up.threshold, up.achieved) == (state.threshold, first)
    down = after(SetShare(share=0.01, reason=""), state=state)
    assert down.achieved == (0.0 if first > 0.02 else first)


class Planted(records.Event, frozen=True, kw_only=True):
    """An event that a machine's table allows and that it does not fold."""


def test_an_event_that_the_table_allows_and_nothing_folds_is_a_fault_and_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(rollouts.NEXT, (Status.POLLING, Planted), Status.POLLING)  # type: ignore[misc]
    with pytest.raises(KeyError, match="Planted"):
        rollouts.evolve(State(), Planted())


def test_an_empty_fleet_can_be_frozen_and_moved() -> None:
    nobody = Freeze(clusters={}, weights={}, method=Method.PROPAGATION)
    state = after("start", nobody, "share 0.25")
    assert (state.status, state.threshold) == (Status.DUAL, 0.25)


def test_history_of_another_hash_is_not_continued() -> None:
    with pytest.raises(ValueError, match="hash version 2"):
        rollouts.evolve(State(), rollouts.Started(name="n", salt="s", hash_version=2))


def test_impossible_history_is_a_fault() -> None:
    with pytest.raises(KeyError):
        rollouts.evolve(State(), rollouts.Removed(undo_until=SUNSET))


def test_time_alone_never_changes_a_rollout() -> None:
    for commands, _ in GIVEN.values():
        assert rollouts.deadline(after(*commands)) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(COMMANDS)), st.sampled_from(INSTANTS)), max_size=25))
def test_any_history_keeps_the_rules(steps: list[tuple[str, Instant]]) -> None:
    state, history = after("start", "freeze"), []
    for name, now in steps:
        outcome = rollouts.decide(state, COMMANDS[name], now)
        for event in () if isinstance(outcome, Refusal) else outcome:
            following = rollouts.evolve(state, event)
            assert following.threshold >= state.threshold or following.epoch == state.epoch + 1
            assert following.share <= state.share or not state.held
            assert following.epoch >= state.epoch
            assert (following.share == 0) == (following.status is Status.POLLING)
            assert (0 < following.share < 1) == (following.status is Status.DUAL)
            assert following.achieved == cohorts.achieved("s", WEIGHTS, following.threshold)
            history.append(records.decode(records.type_name(event), records.encode(event)))
            state = following
    again = after("start", "freeze")
    for stored in history:
        again = rollouts.evolve(again, stored)
    assert again == state
