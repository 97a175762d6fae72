"""Who may have a Job: so many at a time for each profile, fair by submitter, then oldest first.

Everyone stands in the line of the profile it was accepted with, and no line knows of another: a profile whose image never comes keeps
nobody else waiting. Lines are kept in order, so that a place that becomes free costs the same however many wait for it.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from datetime import datetime

from podbook_core.execution.admission import Waiting, next_to_start
from podbook_core.execution.profiles import Profiles

__all__ = ["Places"]


@dataclass(slots=True)
class _Line:
    """One profile's."""

    limit: int
    holding: dict[str, str | None] = field(default_factory=dict)
    """The submitter of everyone who has a place, by name."""
    waiting: dict[str | None, list[Waiting]] = field(default_factory=dict)
    """Who waits, by submitter, oldest first."""

    def add(self, item: Waiting) -> None:
        insort(self.waiting.setdefault(item.submitter, []), item, key=_age)

    def remove(self, item: Waiting) -> None:
        queue = self.waiting[item.submitter]
        del queue[bisect_left(queue, _age(item), key=_age)]
        if not queue:
            del self.waiting[item.submitter]

    def next(self) -> list[Waiting]:
        """Who gets the places that are free, in order."""
        free = self.limit - len(self.holding)
        if free <= 0 or not self.waiting:
            return []
        # Of one submitter no more can be next than there are places, so the rest is ignored.
        foremost = [item for queue in self.waiting.values() for item in queue[:free]]
        return next_to_start(foremost, list(self.holding.values()), self.limit)


class Places:
    """Who waits, who was granted a place, and who holds one by a Job. No execution is two of these.

    Args:
        limit: how many executions of one profile may have a Job at a time.
        profiles: for the limits that a profile has of its own, instead.
    """

    def __init__(self, limit: int, profiles: Profiles) -> None:
        self._limit, self._profiles = limit, profiles
        self._lines: dict[str, _Line] = {}
        self._waiting: dict[str, tuple[_Line, Waiting]] = {}
        self._holding: dict[str, _Line] = {}
        self.granted: set[str] = set()
        """Names of executions that may create their Job and have not done so."""

    @property
    def running(self) -> tuple[str, ...]:
        """Names of the executions that have a Job."""
        return tuple(name for name in self._holding if name not in self.granted)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def taken(self) -> int:
        """How many places are taken, by a Job or by the right to create one."""
        return len(self._holding)

    def wait(self, name: str, *, profile: str, submitter: str | None, created: str, uid: str) -> None:
        """An execution is accepted and has no Job; without effect when it waits or was granted a place."""
        if name in self._waiting or name in self.granted:
            return
        self.leave(name)
        line, item = self._line(profile), Waiting(name, submitter, datetime.fromisoformat(created), uid)
        line.add(item)
        self._waiting[name] = (line, item)

    def hold(self, name: str, *, profile: str, submitter: str | None) -> None:
        """An execution has a Job, whether or not there was a place for it."""
        if name in self._holding:
            self.granted.discard(name)
            return
        self.leave(name)
        self._take(name, self._line(profile), submitter)

    def leave(self, name: str) -> None:
        """An execution has ended, or is gone."""
        waited = self._waiting.pop(name, None)
        if waited is not None:
            line, item = waited
            line.remove(item)
        held = self._holding.pop(name, None)
        if held is not None:
            del held.holding[name]
        self.granted.discard(name)

    def give_back(self, name: str) -> None:
        """Leave a place that was granted and not used, so that others get it meanwhile; without effect on who holds one by a Job."""
        if name in self.granted:
            self.leave(name)

    def grant(self) -> list[str]:
        """Give the free places to those who wait. Returns their names, in order."""
        names = []
        for line in self._lines.values():
            for item in line.next():
                line.remove(item)
                del self._waiting[item.name]
                self._take(item.name, line, item.submitter)
                self.granted.add(item.name)
                names.append(item.name)
        return names

    def _take(self, name: str, line: _Line, submitter: str | None) -> None:
        line.holding[name] = submitter
        self._holding[name] = line

    def _line(self, profile: str) -> _Line:
        if profile not in self._lines:
            known = self._profiles.get(profile)
            self._lines[profile] = _Line(self._limit if known is None or known.max_active is None else known.max_active)
        return self._lines[profile]


def _age(item: Waiting) -> tuple[datetime, str, str]:
    """As :func:`podbook_core.execution.admission.next_to_start` orders those of one submitter."""
    return (item.created, item.uid, item.name)
