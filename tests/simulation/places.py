"""Places that a campaign must have been to: a simulation that never gets there proves nothing about them."""

from typing import Final

SOMETIMES: Final = (
    "a client read what it had acknowledged",
    "a command lost the race for its stream",
    "a command went through when it was tried again",
    "a dialog was never answered",
    "a key came twice",
    "a reply was lost",
    "a second answer was refused",
    "a slow reader was cut while more was waiting",
    "a stream went on where it was",
    "a write was refused by the disk",
    "an answer came at the instant of the expiry",
    "an unknown outcome was not stored",
    "an unknown outcome was stored",
    "crash before a write is durable",
    "crash between commit and reply",
    "crash during the replay",
    "crash while a dialog is open",
    "nobody could reach the hub",
    "stopped in good order",
    "the clock was set back",
    "the clock was set forward",
    "the kill switch",
    "the kill switch while a dialog was open",
    "the share was set while agents were at work",
)
"""Of the core's schedules. A campaign of ``ENOUGH`` seeds that missed one of them fails."""

EVENTS: Final = (
    "question.answered/1",
    "question.declined/1",
    "question.dismissed/1",
    "question.expired/1",
    "question.requeued/1",
    "question.seen/1",
    "question.withdrawn/1",
    "rollout.completed/1",
    "rollout.deprecated/1",
    "rollout.held/1",
    "rollout.killed/1",
    "rollout.removed/1",
    "rollout.restored/1",
    "rollout.rolled_back/1",
    "rollout.share_lowered/1",
    "rollout.share_set/1",
)
"""Events that schedules must have written."""

FULL_STACK: Final = (
    "a command went through when it was tried again",
    "a crash cut a call",
    "a question was elicited and answered inside a wait",
    "a question was read as a message and answered with a tool",
    "the hub was started again",
)
"""Of the runs with the official client."""

ENOUGH: Final = 1_000
ENOUGH_FULL_STACK: Final = 40


def missed(reached: dict[str, int], wanted: tuple[str, ...]) -> list[str]:
    """The places that were not reached."""
    return [place for place in wanted if not reached.get(place)]
