"""Files that are whole or not there: replaced in one step, and safe from a crash of the machine once the call returns."""

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["replace_file", "sync_folder", "write_synced"]


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, in place of the one that is there. Blocks.

    Written beside, synced, renamed, and the folder synced: readers see the old or the new file, complete, also after a crash. What a
    crash leaves of the first step is called ``.<name>.<random>.tmp``.

    Raises:
        OSError: there is no room or no permission; then the old one stays.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        write_synced(descriptor, [data])
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_synced(descriptor: int, chunks: Iterable[bytes]) -> None:
    """Write all of it into an open file, onto the disk, and close it. Raises ``OSError``."""
    with os.fdopen(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make the names in a folder safe from a crash: a file is only as safe as the name that leads to it. No error when it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return  # what was written is deleted again already
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
