"""The directories of an attempt and the environment its kernel sees.

Everything writable lies below one private directory, so that the root file system may be read-only and nothing outlives the run.
"""

import contextlib
import os
import shutil
import site
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from podbook_core.execution.reasons import Reason
from podbook_runner.outcome import AttemptError

__all__ = ["Workspace", "kernel_environment", "seed_font_cache", "unpack_assets"]

_LONGEST_SOCKET = 107
"""A Unix socket's path is at most this many bytes (unix(7))."""
_SOCKET_NAME = len("/k-5")


class Workspace:
    """The directories of one attempt, created fresh and removed by :meth:`remove`.

    Args:
        base: where to put them; None for the system's place for temporary files.

    Raises:
        AttemptError: ``ConfigurationError``: nothing can be created there.
    """

    def __init__(self, base: Path | None) -> None:
        self._short: Path | None = None
        try:
            if base is not None:
                base.mkdir(parents=True, exist_ok=True)
            self.root = Path(tempfile.mkdtemp(prefix="podbook-", dir=base)).resolve()
            self.cwd = self._folder("work")
            """Working directory of the kernel, with the assets unpacked into it."""
            self.inputs = self._folder("inputs")
            """``$PODBOOK_INPUT_DIR``."""
            self.outputs = self._folder("outputs")
            """``$PODBOOK_OUTPUT_DIR``."""
            self.home = self._folder("home")
            """``$HOME`` of the kernel, with every configuration and cache directory in it."""
            self.private = self._folder("private")
            """The runner's own files: what was fetched, what is to be published."""
            self.runtime = self._runtime_folder()
            """Connection file and sockets of the kernel; its path is short."""
        except OSError as error:
            # Without its path: callers read this, and where a server keeps its data is not their business.
            raise AttemptError(
                Reason.CONFIGURATION_ERROR,
                f"the working directory cannot be used: {error.strerror or type(error).__name__}; it must be writable and have free space",
            ) from error

    def remove(self) -> None:
        """Delete everything, as far as possible."""
        shutil.rmtree(self.root, ignore_errors=True)
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(mode=0o700)
        return folder

    def _runtime_folder(self) -> Path:
        if len(os.fsencode(self.root / "k")) + _SOCKET_NAME <= _LONGEST_SOCKET:
            return self._folder("k")
        self._short = Path(tempfile.mkdtemp(prefix="pb-", dir="/tmp" if Path("/tmp").is_dir() else None))  # noqa: S108 - private
        return self._short


def kernel_environment(environment: Mapping[str, str], workspace: Workspace, told: Mapping[str, str]) -> dict[str, str]:
    """What the kernel's environment holds: the runner's own, without Podbook's internals, with every writable place inside the workspace.

    Args:
        environment: the runner's environment (a profile's secrets are meant for the notebook and stay).
        workspace: the attempt's directories.
        told: what the kernel is told besides.
    """
    home = workspace.home
    kept = {name: value for name, value in environment.items() if not name.startswith("PODBOOK_")}
    if site.ENABLE_USER_SITE and "PYTHONUSERBASE" not in kept:
        # Packages installed with --user are found below the old home.
        kept["PYTHONUSERBASE"] = site.getuserbase()
    kept.update(
        PODBOOK_INPUT_DIR=str(workspace.inputs),
        PODBOOK_OUTPUT_DIR=str(workspace.outputs),
        HOME=str(home),
        IPYTHONDIR=str(home / ".ipython"),
        JUPYTER_CONFIG_DIR=str(home / ".jupyter"),
        JUPYTER_DATA_DIR=str(home / ".local/share/jupyter"),
        JUPYTER_RUNTIME_DIR=str(workspace.runtime),
        MPLCONFIGDIR=str(home / ".config/matplotlib"),
        XDG_CACHE_HOME=str(home / ".cache"),
        XDG_CONFIG_HOME=str(home / ".config"),
        XDG_DATA_HOME=str(home / ".local/share"),
        XDG_STATE_HOME=str(home / ".local/state"),
        # ipykernel ends itself when this process is gone.
        JPY_PARENT_PID=str(os.getpid()),
    )
    kept.update(told)
    return kept


def seed_font_cache(environment: Mapping[str, str], workspace: Workspace) -> None:
    """Copy matplotlib's font list, if there is one: rebuilding it takes seconds in every run."""
    known = environment.get("MPLCONFIGDIR")
    cache = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/")) / ".cache")
    target = workspace.home / ".config/matplotlib"
    for folder in ([Path(known)] if known else []) + [cache / "matplotlib"]:
        with contextlib.suppress(OSError):
            for found in folder.glob("fontlist-*.json"):
                target.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(found, target / found.name)


def unpack_assets(archive: Path, target: Path) -> None:
    """Unpack the notebook's assets at their relative paths.

    Raises:
        AttemptError: ``StorageFailed``: it is not a tar archive; ``InvalidNotebook``: a member would leave the working directory;
            ``ConfigurationError``: there is no room.
    """
    try:
        with tarfile.open(archive, mode="r:") as tar:
            for member in tar:
                _unpack(tar, member, target)
    except tarfile.TarError as error:
        raise AttemptError(Reason.STORAGE_FAILED, f"the stored assets are not a tar archive: {error}") from error
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        problem = (
            "the assets contain a file with the path of another one's folder; rename one of them and publish the notebook again"
        )
        raise AttemptError(Reason.INVALID_NOTEBOOK, problem) from error
    except OSError as error:
        raise AttemptError(
            Reason.CONFIGURATION_ERROR,
            f"the assets cannot be unpacked: {error.strerror or type(error).__name__}; give the working directory more space",
        ) from error


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write one plain file. Publishing makes nothing else, so nothing else is accepted; tarfile's own filters came with Python 3.11.4."""
    content = tar.extractfile(member) if member.isreg() else None
    parts = member.name.split("/")
    if content is None or any(part in ("", ".", "..") for part in parts):
        raise AttemptError(
            Reason.INVALID_NOTEBOOK,
            f"the assets hold {member.name[:200]!r}, which is not a plain file inside the working directory",
        )
    path = target.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)
