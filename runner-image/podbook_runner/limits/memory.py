"""The memory limit of the container, as its control group (version 2 or 1) tells it, and who goes first when it is reached.

Read the working set, not the plain usage: page cache that nobody maps is given back before anything is killed.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ControlGroup", "MemoryReading", "OomScore", "find_control_group"]

_EXPENDABLE, _FIRST = 500, 1000
"""Places in the system's order (proc(5), oom_score_adj): the runner's children, and what nothing is behind."""

_UNLIMITED = 1 << 60
"""Version 1 writes a huge number where there is no limit."""


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """Memory of a control group, in bytes."""

    used: int
    limit: int


class ControlGroup:
    """The memory controller of one control group.

    Args:
        folder: the group's directory.
        version: 1 or 2.
    """

    def __init__(self, folder: Path, version: int) -> None:
        self._folder = folder
        self._version = version

    def limit(self) -> int | None:
        """The limit in bytes, None where there is none."""
        name = "memory.max" if self._version == 2 else "memory.limit_in_bytes"
        text = _read(self._folder / name).strip()
        return int(text) if text.isdigit() and int(text) < _UNLIMITED else None

    def reading(self) -> MemoryReading | None:
        """Working set and limit, None where there is no limit."""
        limit = self.limit()
        if limit is None:
            return None
        name = "memory.current" if self._version == 2 else "memory.usage_in_bytes"
        usage = _number(_read(self._folder / name))
        statistics = _table(_read(self._folder / "memory.stat"))
        cache = statistics.get("inactive_file" if self._version == 2 else "total_inactive_file", 0)
        return MemoryReading(max(0, usage - cache), limit)

    def kills(self) -> int:
        """How many processes the system has killed here because memory ran out, so far."""
        name = "memory.events" if self._version == 2 else "memory.oom_control"
        return _table(_read(self._folder / name)).get("oom_kill", 0)


class OomScore:
    """This process's place in the order in which the system kills when memory runs out.

    Made before the process becomes one that others may not look into: the system then takes even its own file away from it.
    """

    def __init__(self, file: Path = Path("/proc/self/oom_score_adj")) -> None:
        self._descriptor: int | None = None
        with contextlib.suppress(OSError):
            self._descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)

    @contextlib.contextmanager
    def expendable(self) -> Iterator[None]:
        """Children forked within it go before this process. Where the system does not allow that, nothing happens."""
        if self._descriptor is None:
            yield
            return
        own = int(os.pread(self._descriptor, 16, 0))
        _write_score(self._descriptor, min(_FIRST, max(_EXPENDABLE, own + 1)))
        try:
            yield
        finally:
            _write_score(self._descriptor, own)


def find_control_group(membership: Path = Path("/proc/self/cgroup"), mounts: Path = Path("/sys/fs/cgroup")) -> ControlGroup | None:
    """The control group that bounds this process's memory: the nearest one upwards that has a limit.

    Inside a container the group's own path is usually not visible and the mount itself is the group. Where no group has a limit, the
    nearest readable one is returned, because it still counts kills.
    """
    for line in _read(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            version, base = 2, mounts
        elif "memory" in controllers.split(","):
            version, base = 1, mounts / "memory"
        else:
            continue
        marker = "memory.current" if version == 2 else "memory.usage_in_bytes"
        parts = [part for part in path.split("/") if part not in ("", "..")]
        folders = [base.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]
        groups = [ControlGroup(folder, version) for folder in folders if (folder / marker).exists()]
        if groups:
            return next((group for group in groups if group.limit() is not None), groups[0])
    return None


def _write_score(descriptor: int, value: int) -> None:
    with contextlib.suppress(OSError):
        os.pwrite(descriptor, str(value).encode(), 0)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(text: str) -> int:
    text = text.strip()
    return int(text) if text.isdigit() else 0


def _table(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
