"""Whose turn it is where a few workers serve many keys, and which keys are refused for a while. Pure: no clock, no locks, no threads."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["StallMemory", "Ticket", "Turns"]

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True, eq=False)
class Ticket(Generic[K]):
    """One place in the queue; two tickets of one key are different."""

    key: K


@dataclass(slots=True)
class Turns(Generic[K]):
    """A queue for a few places, in which one key holds at most one place: waiting for a busy key does not delay others.

    Among those whose key is free, the first to come is served first.
    """

    places: int
    """How many may be served at once."""
    _waiting: list[Ticket[K]] = field(default_factory=list)
    _serving: dict[K, Ticket[K]] = field(default_factory=dict)

    def enter(self, key: K) -> Ticket[K]:
        """Take a place at the end of the queue."""
        ticket = Ticket(key)
        self._waiting.append(ticket)
        return ticket

    def begin(self, ticket: Ticket[K]) -> bool:
        """Whether it is this ticket's turn; if so it is being served from now on, until :meth:`leave`."""
        if len(self._serving) >= self.places or ticket is not self._next():
            return False
        self._waiting.remove(ticket)
        self._serving[ticket.key] = ticket
        return True

    def leave(self, ticket: Ticket[K]) -> None:
        """Give up a place in the queue, or the place of one that is served."""
        if self._serving.get(ticket.key) is ticket:
            del self._serving[ticket.key]
        elif ticket in self._waiting:
            self._waiting.remove(ticket)

    def _next(self) -> Ticket[K] | None:
        return next((ticket for ticket in self._waiting if ticket.key not in self._serving), None)


@dataclass(slots=True)
class StallMemory(Generic[K]):
    """Which keys stalled often enough to be refused for a while. Times are seconds of one clock that never goes back."""

    limit: int = 2
    """After how many stalls a key is refused."""
    seconds: float = 60.0
    """How long it is refused, and how long a stall counts."""
    most: int = 1024
    """How many keys are remembered; those that stalled longest ago are forgotten first."""
    _stalls: dict[K, tuple[float, ...]] = field(default_factory=dict)
    """When each key stalled, newest last; the key that stalled last comes last."""

    def stalled(self, key: K, now: float) -> None:
        """A key has stalled."""
        recent = self._stalls.pop(key, ())
        self._stalls[key] = (*recent, now)[-self.limit :]
        while len(self._stalls) > self.most:
            del self._stalls[next(iter(self._stalls))]

    def refused_for(self, key: K, now: float) -> float:
        """For how many seconds a key is still refused; 0 when it is not."""
        stalls = self._stalls.get(key, ())
        if stalls and now - stalls[-1] >= self.seconds:
            del self._stalls[key]
            return 0.0
        if len(stalls) < self.limit or stalls[-1] - stalls[0] >= self.seconds:
            return 0.0
        return self.seconds - (now - stalls[-1])
