"""The files a notebook leaves in ``$PODBOOK_OUTPUT_DIR``: found without following a link, counted, measured."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from podbook_core.execution.reasons import Reason
from podbook_core.store.keys import FILES_FOLDER
from podbook_runner.outcome import AttemptError

__all__ = ["Artifact", "find_artifacts"]

_LONGEST_NAME = 512
_PLAIN = re.compile(r"[^\x00-\x1f\x7f\\]+\Z")
_LONGEST_NAMES = 512 * 1024
"""All names together, in bytes: the manifest lists them and is at most a mebibyte."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A regular file to be published as ``files/<path>``."""

    name: str
    """Relative to the attempt's prefix."""
    path: Path
    size: int


def find_artifacts(folder: Path, *, max_files: int, max_bytes: int) -> tuple[list[Artifact], list[str]]:
    """The files to publish, and a line for each thing that is left out because it is not a regular file.

    Raises:
        AttemptError: ``InvalidOutput``: there are too many files, they are too large together, or a name cannot be published.
    """
    found: list[Artifact] = []
    skipped: list[str] = []
    size = names = 0
    for path, status in _entries(folder):
        relative = path.relative_to(folder).as_posix()
        if not stat.S_ISREG(status.st_mode):
            skipped.append(f"{relative!r} is not a regular file and was not published")
            continue
        name = FILES_FOLDER + relative
        if len(name) > _LONGEST_NAME or not _PLAIN.match(name) or not _is_unicode(name):
            raise _invalid(f"the output file {relative[:100]!a} has a name that cannot be published; use plain, shorter names")
        found.append(Artifact(name, path, status.st_size))
        size += status.st_size
        names += len(os.fsencode(name))
        if len(found) > max_files or names > _LONGEST_NAMES:
            raise _invalid(f"the notebook wrote more than {max_files} output files; pack them into one archive")
        if size > max_bytes:
            raise _invalid(f"the notebook's output files have more than {max_bytes} bytes in total; write less")
    return found, skipped


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything below a folder but folders, by name; links are seen as links."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        # The notebook may have removed its directory, or its own right to read it: there is nothing to publish then.
        return
    for entry in entries:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            yield from _entries(Path(entry.path))
        else:
            yield Path(entry.path), status


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _invalid(message: str) -> AttemptError:
    return AttemptError(Reason.INVALID_OUTPUT, message)
