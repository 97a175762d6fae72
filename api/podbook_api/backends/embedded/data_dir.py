"""The data directory of one embedded server: what lies where, who may use it, and in which format it is.

* ``version``: the format of the directory, a number;
* ``server.lock``: locked by the server that uses the directory, with its process id in it;
* ``folder.json``: names of the notebooks that came from the notebooks folder;
* ``link-secret``: random bytes that sign links;
* ``store/``: the object store;
* ``live/``: one JSON document for each execution that has not ended;
* ``work/<uid>/<attempt>/``: what a running attempt needs: task, lock, what the runner printed, and its working directory.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

__all__ = ["DataDir", "DataDirError"]

_FORMAT = 1


class DataDirError(Exception):
    """The data directory cannot be used; the message is one line for the person at the terminal."""


class DataDir:
    """An opened data directory. Closing it, or the end of this process, lets another server open it.

    Args:
        root: the directory; created when missing, readable by its owner only.

    Raises:
        DataDirError: it is in use, cannot be written, or was written by a newer Podbook.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.root / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirError(f"the data directory {root} cannot be used: {error.strerror or error}") from error
        try:
            self._take_lock(root)
            self._check_format(root)
            for folder in (self.store, self.live, self.work):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            os.close(self._lock)
            raise DataDirError(f"the data directory {root} cannot be used: {error.strerror or error}") from error
        except DataDirError:
            os.close(self._lock)
            raise

    @property
    def store(self) -> Path:
        """Root of the object store."""
        return self.root / "store"

    @property
    def live(self) -> Path:
        """Documents of executions that have not ended."""
        return self.root / "live"

    @property
    def work(self) -> Path:
        """Working directories of attempts."""
        return self.root / "work"

    @property
    def folder_file(self) -> Path:
        """Which notebooks came from the notebooks folder."""
        return self.root / "folder.json"

    @property
    def link_secret_file(self) -> Path:
        """Random bytes that sign links."""
        return self.root / "link-secret"

    def close(self) -> None:
        """Let another server use the directory; repeatable."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_lock(self, root: Path) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip()
            by = f" (process {holder})" if holder.isdecimal() else ""
            raise DataDirError(
                f"the data directory {root} is in use by another podbook server{by}; stop that one or choose another --data-dir"
            ) from None
        # The id is for the message above only. Nothing is ever decided by it: the lock says whether its holder lives.
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _check_format(self, root: Path) -> None:
        file = self.root / "version"
        with contextlib.suppress(FileNotFoundError):
            text = file.read_text(errors="replace").strip()
            if not text:
                file.unlink()  # the machine stopped before its first byte was on disk
            elif text != str(_FORMAT):
                raise DataDirError(
                    f"the data directory {root} has format {text[:20]!r}, but this podbook reads {_FORMAT}: "
                    "use the podbook that wrote it, or another --data-dir"
                )
        if not file.exists():
            file.write_text(f"{_FORMAT}\n")
