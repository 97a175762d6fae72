"""Who may start next where only so many run at once: fair by submitter, then oldest first. Pure, for operator and supervisor alike."""

import heapq
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Waiting", "next_to_start"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An execution that waits for a free slot."""

    name: str
    submitter: str | None
    """Id of the key that created it; all callers without a key count as one."""
    created: datetime
    uid: str = ""
    """Settles the order of two created in the same moment."""


def next_to_start(waiting: Sequence[Waiting], running: Sequence[str | None], limit: int) -> list[Waiting]:
    """Choose whom to start now, in order.

    Each free slot goes to the submitter with the fewest running so far, so that a thousand executions of one do not keep another's
    single one waiting; among equals, and among one submitter's own, the oldest comes first.

    Args:
        waiting: everyone who waits.
        running: the submitter of each execution that holds a slot.
        limit: slots in all; none is given out where more than that many are held already.
    """
    queues: dict[str | None, deque[Waiting]] = {}
    for item in sorted(waiting, key=lambda item: (item.created, item.uid, item.name)):
        queues.setdefault(item.submitter, deque()).append(item)
    held = Counter(running)

    def rank(submitter: str | None) -> tuple[int, datetime, str, str]:
        first = queues[submitter][0]
        return (held[submitter], first.created, first.uid, first.name)

    # Names are unique, so two ranks never tie and submitters (None among them) are never compared.
    order = [(rank(submitter), submitter) for submitter in queues]
    heapq.heapify(order)
    chosen: list[Waiting] = []
    while order and len(running) + len(chosen) < limit:
        _, submitter = heapq.heappop(order)
        chosen.append(queues[submitter].popleft())
        held[submitter] += 1
        if queues[submitter]:
            heapq.heappush(order, (rank(submitter), submitter))
    return chosen
