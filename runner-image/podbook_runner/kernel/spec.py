"""Which program runs a notebook's cells: kernel specifications, found where Jupyter looks for them.

Read directly, because importing jupyter_client would cost as much time as the kernel needs to start.
"""

import importlib.util
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from podbook_core.execution.reasons import Reason
from podbook_runner.outcome import AttemptError

__all__ = ["KernelSpec", "find_kernelspec", "kernel_folders"]

_NATIVE = "python3"
_PYTHON = re.compile(r"python(3(\.\d+)?)?\Z")


@dataclass(frozen=True, slots=True)
class KernelSpec:
    """How a kernel is started."""

    name: str
    argv: tuple[str, ...]
    """The command, with ``{connection_file}`` to be filled in."""
    language: str
    folder: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    interrupt_mode: str = "signal"
    """How a running cell is interrupted: ``signal`` (SIGINT), or ``message``."""

    @property
    def is_ipykernel(self) -> bool:
        """Whether it takes IPython's options."""
        return any(word in ("ipykernel_launcher", "ipykernel") for word in self.argv)

    def command(self, connection_file: Path) -> list[str]:
        """The command to start the kernel with."""
        words = {"connection_file": str(connection_file), "resource_dir": str(self.folder or "")}
        argv = [re.sub(r"\{(\w+)\}", lambda match: words.get(match[1], match[0]), word) for word in self.argv]
        if _PYTHON.match(argv[0]):
            # As jupyter_client does: "python" in a specification of this environment means this interpreter.
            argv[0] = sys.executable
        if self.is_ipykernel:
            # Nobody asks a run for its history, and the database is a file to open at every start.
            argv.append("--HistoryManager.enabled=False")
        return argv


def kernel_folders() -> list[Path]:
    """The folders that may hold kernel specifications, in Jupyter's order of precedence."""
    from jupyter_core.paths import jupyter_path  # noqa: PLC0415 - not needed where the specification cannot be looked for

    return [Path(folder) for folder in jupyter_path("kernels")]


def find_kernelspec(name: str | None, language: str, folders: Sequence[Path]) -> KernelSpec:
    """The specification a notebook runs by: the one it names, else, for Python, the Python kernel there is.

    Editors write names of their own into notebooks (``myenv``, ``conda-env-x-py``, ``pythonjvsc74a57…``), which mean nothing elsewhere.

    Args:
        name: the kernel the notebook names; None when it names none.
        language: of its cells, in lower case.
        folders: where specifications are, in order of precedence.

    Raises:
        AttemptError: ``InvalidNotebook``: there is no such kernel; the message names those that are installed.
    """
    wanted = name or (_NATIVE if language == "python" else language)
    try:
        return _named(wanted, folders)
    except AttemptError:
        if language != "python" or wanted.lower() == _NATIVE:
            raise
        return _named(_NATIVE, folders)


def _named(name: str, folders: Sequence[Path]) -> KernelSpec:
    """The specification of that name. Errors as :func:`find_kernelspec`."""
    installed: set[str] = set()
    for folder in folders:
        for candidate in sorted(folder.glob("*/kernel.json")):
            installed.add(candidate.parent.name)
            if candidate.parent.name.lower() == name.lower():
                spec = _read_spec(candidate)
                if spec is not None:
                    return spec
    if importlib.util.find_spec("ipykernel") is not None:
        installed.add(_NATIVE)
        if name == _NATIVE:
            return KernelSpec(name, ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}"), "python")
    known = ", ".join(sorted(installed)) or "none"
    raise AttemptError(
        Reason.INVALID_NOTEBOOK,
        f"the notebook asks for the kernel {name!r}, which is not installed here; installed: {known}. "
        "Choose one of these in the notebook's metadata (kernelspec.name) or use a profile whose image has it",
    )


def _read_spec(path: Path) -> KernelSpec | None:
    try:
        raw = json.loads(path.read_bytes())
        environment = {str(key): os.path.expandvars(str(value)) for key, value in (raw.get("env") or {}).items()}
        argv = tuple(str(word) for word in raw["argv"])
        mode = str(raw.get("interrupt_mode") or "signal")
        return KernelSpec(path.parent.name, argv, str(raw.get("language", "")), path.parent, environment, mode) if argv else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # Jupyter, too, ignores broken specifications; the notebook is then told which ones there are.
        return None
