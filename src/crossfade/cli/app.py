"""Every command of ``crossfade`` in one table; none is imported before it runs or its help is asked for."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from cyclopts import App, Group, Parameter, Token, convert

from crossfade import __version__


class Command(NamedTuple):
    """One command: its words, where it is, and what it is for."""

    words: str
    target: str
    help: str


GROUPS: Final = {
    "inbox": "Questions put to you: ls, show, watch.",
    "question": "Questions by id: ls, show, wait, withdraw.",
    "agent": "Who can be asked: ls, show, retire.",
    "token": "Credentials: new, ls, revoke.",
    "rollout": "Move the fleet from polling to elicitation, and back.",
    "rollout plan": "The plan that drives the rollout: lint, show, stop; `rollout start --plan` begins one.",
    "runsheet": "The procedure of a migration as a file: write, check, review, plan, run.",
    "gate": "Verdicts on counts: evaluate anybody's data, simulate a gate before it is needed.",
    "signoff": "Consent of specialists: ls, show, request, withdraw, stop; they give it with `answer`.",
    "certificate": "What was signed, and the proof: ls, get, show, verify, key.",
    "baseline": "The polling lane before anything moves: start, show, stop.",
    "log": "The record of everything: head, tail, show, verify, export, backup, restore, archive.",
    "capacity": "What the stages of a rollout take: measure on this machine, plan from it.",
    "config": "Settings: show, check, schema.",
}

COMMANDS: Final = (
    Command("up", "running:up", "Start a hub on this machine to try things: guests, demo fleet, loopback only."),
    Command("serve", "running:serve", "Start a hub for real use."),
    Command("demo", "running:demo", "Run the whole rollout with a fleet of its own and count what was lost."),
    Command("load", "load:load", "Load a hub with thousands of simulated agents and count what was lost."),
    Command("capacity measure", "capacity:measure", "Measure what a hub uses on this machine, and its ceiling."),
    Command("capacity plan", "capacity:plan", "Say what each stage of a rollout takes, from measurements."),
    Command("ask", "asking:ask", "Ask somebody and wait for the answer."),
    Command("answer", "asking:answer", "Answer a question put to you, or decline it."),
    Command("send", "asking:send", "Send a message; nobody is asked to answer."),
    Command("inbox ls", "inbox:ls", "List open questions put to you."),
    Command("inbox show", "inbox:show", "Show one question."),
    Command("inbox watch", "inbox:watch", "Print questions and messages as they come."),
    Command("question ls", "inbox:ls", "List open questions put to you."),
    Command("question show", "inbox:show", "Show a question as it is now."),
    Command("question wait", "inbox:wait", "Wait for the end of a question."),
    Command("question withdraw", "inbox:withdraw", "Take back a question you asked."),
    Command("agent ls", "agents:ls", "List agents and people."),
    Command("agent show", "agents:show", "Show one agent."),
    Command("agent retire", "agents:retire", "Retire an agent for good."),
    Command("token new", "tokens:new", "Mint a credential; works on a stopped hub's data folder, too."),
    Command("token ls", "tokens:ls", "List credentials, without their secrets."),
    Command("token revoke", "tokens:revoke", "End a credential at once."),
    Command("rollout status", "rollout:status", "Show where the rollout stands."),
    Command("rollout start", "rollout:start", "Begin a rollout at share 0."),
    Command("rollout set", "rollout:set_share", "Set the share of the fleet on the elicitation lane."),
    Command("rollout hold", "rollout:hold", "Stop promoting."),
    Command("rollout resume", "rollout:resume", "Go on after a hold."),
    Command("rollout kill", "rollout:kill", "Put the share to 0 at once; works without a running hub."),
    Command("rollout deprecate", "rollout:deprecate", "Announce the end of the polling lane."),
    Command("rollout remove", "rollout:remove", "End the polling lane."),
    Command("rollout plan lint", "rollout_plan:lint", "Check that a plan makes sense."),
    Command("rollout plan show", "rollout_plan:show", "Show a plan, or the one that drives the rollout."),
    Command("rollout plan stop", "rollout_plan:stop", "End the plan; the share stays where it is."),
    Command("gate ls", "gate_show:ls", "List the gates of the plan that drives the rollout."),
    Command("gate show", "gate_show:show", "Show one gate with its numbers."),
    Command("gate explain", "gate_show:explain", "Say why, in words and numbers."),
    Command("runsheet new", "runsheet:new", "Write a small runsheet to start from."),
    Command("runsheet lint", "runsheet:lint", "Check that a runsheet makes sense."),
    Command("runsheet review", "runsheet:review_file", "Review a runsheet as three specialists would."),
    Command("runsheet plan", "runsheet:plan", "Show what is planned for which day, also as a picture."),
    Command("runsheet diff", "runsheet:diff", "Show what differs between two runsheets."),
    Command("runsheet graph", "runsheet:graph", "Show phases and what holds the way between them."),
    Command("runsheet schema", "runsheet:schema", "Print the JSON Schema of runsheets."),
    Command("runsheet export", "runsheet:export", "Print a runsheet as canonical JSON or Markdown."),
    Command("runsheet run", "run:run", "Begin a run, which the hub then drives; --once drives it here."),
    Command("runsheet status", "run:status", "Show the runs, or one with all its nodes."),
    Command("runsheet pause", "run:pause", "Begin nothing more in a run."),
    Command("runsheet resume", "run:resume", "Go on with a paused run."),
    Command("runsheet release", "run:release", "Try again what is held."),
    Command("runsheet skip", "run:skip", "Leave out a step, with a sign-off or as an admin."),
    Command("runsheet waive", "run:waive", "Ask specialists to sign that what is held may pass."),
    Command("runsheet abort", "run:abort", "Stop a run and undo what can be undone."),
    Command("runsheet migrate", "run:migrate", "Go on with another version of the runsheet."),
    Command("runsheet archive", "run:archive", "Print the whole of a run, with its digests."),
    Command("gate evaluate", "gate:evaluate", "Judge anybody's counts by a gate, as a rollout would."),
    Command("gate simulate", "gate:simulate", "Try a gate on made-up traffic before it is needed."),
    Command("signoff ls", "signoff:ls", "List sign-offs."),
    Command("signoff show", "signoff:show", "Show who signed what, and whether it holds."),
    Command("signoff request", "signoff:request", "Ask the members of roles to sign."),
    Command("signoff withdraw", "signoff:withdraw", "Take a sign-off back."),
    Command("signoff stop", "signoff:stop", "Emergency stop by a member of a role."),
    Command("certificate ls", "certificate:ls", "List certificates."),
    Command("certificate get", "certificate:get", "Fetch a certificate and its evidence into files."),
    Command("certificate show", "certificate:show", "Print what a certificate says; needs no hub."),
    Command("certificate verify", "certificate:verify", "Check every byte of a certificate; needs no hub."),
    Command("certificate key", "certificate:key", "Print the hub's public key."),
    Command("board", "board:board", "Show what each specialist says of each runsheet version."),
    Command("check", "check:check", "Judge a history of what clients saw: nothing lost, ended once."),
    Command("baseline start", "baseline:start", "Begin to measure the polling lane, for seven days."),
    Command("baseline show", "baseline:show", "Show the baseline: complete or not, its gaps, its days."),
    Command("baseline stop", "baseline:stop", "End the baseline before its time."),
    Command("log head", "log:head", "Show the end of every shard."),
    Command("log tail", "log:tail", "Print the newest records, and new ones as they come."),
    Command("log show", "log:show", "Show one record."),
    Command("log verify", "log_files:verify", "Check that the log is what was written, and tells a possible story."),
    Command("log backup", "log_backup:backup", "Copy the log, also while the hub serves, and verify the copy."),
    Command("log restore", "log_backup:restore", "Make a hub's folder from a copy, whole or up to a point in time."),
    Command("log archive", "log_archive:archive", "Move the oldest records of a stopped hub's log into files."),
    Command("log export", "log_files:export", "Write the whole log to a file that anybody can check."),
    Command("connect", "connecting:connect", "Connect a client: print what to run or write, or write it."),
    Command("config show", "configuring:show", "Show every setting and where it comes from."),
    Command("config check", "configuring:check", "Check the configuration."),
    Command("config schema", "configuring:schema", "Print the JSON Schema of crossfade.toml."),
    Command("doctor", "doctor:doctor", "Check this machine, the hub and your credential."),
    Command("version", "configuring:version", "Print the version."),
)

START: Final = Group("Start", sort_key=1)
USE: Final = Group("Use", sort_key=2)
RUN: Final = Group("Operate", sort_key=3)
_GROUP_OF: Final = {
    **dict.fromkeys(("up", "demo", "connect", "doctor", "version"), START),
    **dict.fromkeys(("ask", "answer", "send", "inbox", "question", "agent"), USE),
    **dict.fromkeys(
        (
            "serve",
            "check",
            "load",
            "capacity",
            "gate",
            "token",
            "rollout",
            "runsheet",
            "signoff",
            "certificate",
            "board",
            "baseline",
            "log",
            "config",
        ),
        RUN,
    ),
}


def build() -> App:
    """The application, with every command by name only."""
    app = App(
        name="crossfade",
        help="A hub through which agents and people ask each other, and the engine that moves a fleet onto it.",
        version=__version__,
        version_flags=["--version"],
        help_on_error=False,
        default_parameter=Parameter(converter=_as_written),
    )
    groups: dict[str, App] = {}
    for command in COMMANDS:
        *prefix, last = command.words.split()
        parent, words = app, ""
        for word in prefix:
            section = None if words else _GROUP_OF[word]
            words = f"{words} {word}".strip()
            if words not in groups:
                groups[words] = App(name=word, help=GROUPS[words], group=section, version_flags=[])
                parent.command(groups[words])
            parent = groups[words]
        group = None if prefix else _GROUP_OF[last]
        parent.command(f"crossfade.cli.{command.target}", name=last, help=command.help, group=group)
    return app


def _as_written(kind: object, words: Sequence[Token]) -> object:
    """The value of an argument, but never a number that was not given: the library would round 10.5 to 10."""
    if kind in (int, int | None):
        for word in words:
            if word.value.partition(".")[2].strip("0"):
                raise ValueError(f"{word.value} is not a whole number")
    return convert(kind, words)
