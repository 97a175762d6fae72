"""The processes below the runner, found and ended through ``/proc``.

A notebook may fork, double-fork, start sessions of its own and ignore every signal but one. The runner makes itself the subreaper of
its descendants (prctl(2)), so whatever loses its parent becomes its child and stays findable. Where there is no ``/proc``, only the
kernel's own process group is ended.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

__all__ = ["become_subreaper", "descendants", "kill_descendants", "memory_of"]

_PROC = Path("/proc")
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_ROUNDS = 200


def become_subreaper() -> None:
    """Adopt orphaned descendants, and keep other processes of this user from reading this one's memory.

    Both are best effort: without them a detached process may outlive the run, and a notebook may attach a debugger to its runner.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes  # noqa: PLC0415 - milliseconds that need not be spent before the kernel starts

    with contextlib.suppress(OSError, AttributeError):
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def descendants(root: int, proc: Path = _PROC) -> set[int]:
    """Process ids of everything below ``root``, zombies excluded."""
    children: dict[int, list[int]] = {}
    try:
        entries = os.listdir(proc)  # noqa: PTH208 - hundreds of names every tenth of a second; no objects needed
    except OSError:
        return set()
    for name in entries:
        if name.isdigit():
            parsed = _parent_of(proc / name / "stat")
            if parsed is not None:
                children.setdefault(parsed, []).append(int(name))
    found: set[int] = set()
    waiting = [root]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def kill_descendants(root: int, spare: Collection[int]) -> None:
    """Kill everything below ``root`` but the processes in ``spare`` and what is below those.

    Repeats while new ones appear, because a process may fork between being seen and being killed; gives up after about two seconds.
    """
    for _ in range(_ROUNDS):
        spared = set(spare)
        for pid in spare:
            spared |= descendants(pid)
        doomed = descendants(root) - spared
        if not doomed:
            return
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def memory_of(pids: Collection[int], limit: int, proc: Path = _PROC) -> int:
    """Memory of processes in bytes, shared pages counted once where that matters.

    The sum of resident sizes counts shared pages again for each process that maps them. Only when it exceeds ``limit`` are the
    proportional sizes read, which is exact and slow.
    """
    resident = sum(_resident(proc / str(pid)) for pid in pids)
    if resident <= limit or len(pids) < 2:
        return resident
    return sum(_proportional(proc / str(pid)) for pid in pids)


def _parent_of(stat: Path) -> int | None:
    try:
        data = stat.read_bytes()
    except OSError:
        return None
    # "pid (command) state ppid": the command may hold spaces and parentheses, so look behind the last one.
    fields = data[data.rfind(b")") + 2 :].split(b" ", 2)
    if len(fields) < 2 or fields[0] in (b"Z", b"X"):
        return None
    return int(fields[1])


def _resident(folder: Path) -> int:
    try:
        return int((folder / "statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _proportional(folder: Path) -> int:
    try:
        for line in (folder / "smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        pass
    return _resident(folder)
